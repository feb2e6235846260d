"""Keys of training frameworks become what their libraries are asked to do; values of another kind are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import plans
from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan, Preparation
from analyzer.loaders.request import ModelRequest

REAL = Path(__file__).parents[3] / "shared" / "recipes"
AXOLOTL = "base_model: x\nbf16: auto\n"
FACTORY = "stage: sft\ndo_train: true\nbf16: true\n"


def _plan(folder: Path, text: str) -> Plan:
    file = folder / "recipe.yaml"
    file.write_text(text)
    return plans.make({}, [file])[0]


def _made(folder: Path, text: str) -> Preparation:
    found = _plan(folder, text).preparation
    assert found is not None
    return found


def test_defaults_are_those_of_the_frameworks(tmp_path: Path) -> None:
    trl = _made(tmp_path, "use_peft: true\nbf16: true\n").adapter
    assert trl == {
        "peft_type": "LORA", "r": 16, "lora_alpha": 32, "lora_dropout": 0.05, "task_type": "CAUSAL_LM",
    }  # fmt: skip
    factory = _made(tmp_path, f"{FACTORY}lora_rank: 4\n")
    assert (factory.adapter["r"], factory.adapter["lora_alpha"]) == (4, 8)
    assert (factory.linear_names, factory.trained_dtype) == ("LLaMA-Factory", "float32")
    assert _made(tmp_path, f"{FACTORY}finetuning_type: oft\n").adapter["oft_block_size"] == 32
    tune = _made(
        tmp_path,
        "dtype: bf16\nmodel: {_component_: torchtune.models.llama3.lora_llama3_8b, apply_lora_to_mlp: True, "
        "lora_attn_modules: [q_proj, output_proj]}\n",
    )
    assert tune.adapter["target_modules"] == ["q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def test_trl_model_config_says_the_same(tmp_path: Path) -> None:
    """Where trl is installed, as it is not beside every test run."""
    trl = pytest.importorskip("trl")
    for keys in (
        {},
        {"lora_r": 8, "lora_target_modules": ["q_proj"]},
        {"lora_target_modules": ["q_proj", "v_proj"], "lora_modules_to_save": ["lm_head"], "use_dora": True},
    ):
        config = trl.get_peft_config(trl.ModelConfig(use_peft=True, **keys))
        text = "".join(f"{key}: {value}\n" for key, value in {"use_peft": True, "bf16": True, **keys}.items())
        for name, value in _made(tmp_path, text).adapter.items():
            real = getattr(config, name)
            assert (set(real) if isinstance(real, set) else getattr(real, "value", real)) == (
                set(value) if isinstance(real, set) and isinstance(value, list) else value
            )


@pytest.mark.parametrize(
    ("text", "kbit", "widened", "narrowed"),
    [
        ("adapter: qlora\nload_in_4bit: true\n", True, 3, 2),
        ("adapter: lora\nload_in_8bit: true\n", True, 3, 2),
        ("adapter: lora\n", False, 3, 2),
        ("flash_attention: true\n", False, 3, 2),
        ("", False, 3, 0),
        ("adapter: qlora\nload_in_4bit: true\nfsdp: [full_shard]\n", False, 0, 0),
        ("adapter: qlora\nload_in_4bit: true\ndeepspeed: {zero_optimization: {stage: 3}}\n", False, 3, 2),
    ],
)
def test_axolotl_prepares_by_what_wraps_the_model(
    text: str, kbit: bool, widened: int, narrowed: int, tmp_path: Path
) -> None:
    made = _made(tmp_path, f"{AXOLOTL}{text}")
    assert (made.kbit, len(made.widened), len(made.narrowed)) == (kbit, widened, narrowed)
    assert bool(made.quantization) == ("load_in" in text) and bool(made.adapter) == ("adapter" in text)


def test_zero_3_decides_of_the_dtype_of_adapters(tmp_path: Path) -> None:
    engine = "deepspeed: {zero_optimization: {stage: 3}, bf16: {enabled: auto}}\n"
    trl = "bf16: true\nuse_peft: true\n"
    assert [_plan(tmp_path, trl + more).autocast_adapter_dtype for more in ("", engine)] == [True, False]
    assert _plan(tmp_path, f"{trl}{engine}load_in_4bit: true\n").autocast_adapter_dtype
    factory = [_made(tmp_path, FACTORY + more).trained_dtype for more in ("", engine, f"{engine}quantization_bit: 4\n")]
    assert factory == ["float32", "", "float32"]
    assert not _plan(tmp_path, f"{AXOLOTL}adapter: lora\npeft_autocast_adapter_dtype: false\n").autocast_adapter_dtype


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (f"{AXOLOTL}adapter: lora\nlora_model_dir: ./out\n", "lora_model_dir: ./out is not looked for"),
        (f"{AXOLOTL}adapter: llama-adapter\n", "adapter llama-adapter: not applied"),
        (f"{AXOLOTL}adapter: lora\nload_in_4bit: true\n", "load_in_4bit: no effect with adapter lora"),
        (f"{FACTORY}adapter_name_or_path: saves/x\n", "adapter_name_or_path: saves/x is not looked for"),
        (f"{FACTORY}quantization_bit: 4\nquantization_method: hqq\n", "4 bits of hqq: not applied"),
        (f"{FACTORY}finetuning_type: freeze\n", "traced as if all layers were trained"),
        ("model: {_component_: a.qlora_llama}\ndtype: bf16\n", "traced as if not quantised"),
        ("use_peft: true\nload_in_4bit: true\n", "as trl 1.16 makes them"),
    ],
)
def test_what_is_not_done_is_told(text: str, note: str, tmp_path: Path) -> None:
    assert any(note in one for one in _plan(tmp_path, text).notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("use_peft: true\nlora_r: many\n", "lora_r: 'many' is no whole number"),
        ("use_peft: true\nlora_alpha: [1]\n", "lora_alpha: '[1]' is no number"),
        ("use_peft: true\nlora_target_modules: {a: b}\n", "lora_target_modules: {'a': 'b'} is no list of names"),
        (f"{FACTORY}lora_target: 7\n", "lora_target: 7 is no list of names"),
        (f"{AXOLOTL}adapter: lora\nlora_modules_to_save: [1]\n", "lora_modules_to_save: [1] is no list of names"),
        (f"{FACTORY}quantization_bit: four\n", "quantization_bit: 'four' is no whole number"),
    ],
)
def test_values_of_another_kind_are_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError) as caught:
        _plan(tmp_path, text)
    assert said in str(caught.value) and "recipe.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_plan_file_keeps_a_preparation(tmp_path: Path) -> None:
    made = _plan(tmp_path, f"{AXOLOTL}adapter: qlora\nload_in_4bit: true\nlora_target_linear: true\n")
    file = tmp_path / "plan.json"
    file.write_bytes(plans.dump([made]))
    assert plans.make({}, plan_file=file) == (made,)
    file.write_text('{"preparation": {"widened": ["heads"]}}')
    with pytest.raises(AnalyzerError, match="unknown part 'heads'"):
        plans.make({}, plan_file=file)


def test_a_model_of_another_kind_is_told_not_to_be_prepared(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import torch\ndef build():\n    return torch.nn.Linear(2, 2)\n")
    made = "import torch\ndef inputs(config):\n    return {'input': torch.ones(1, 2)}\n"
    (tmp_path / "analyze_inputs.py").write_text(made)
    plan = _plan(tmp_path, "bf16: true\nuse_peft: true\nload_in_8bit: true\n")
    request = ModelRequest(tmp_path / "model.py", plan, True, tmp_path / "analyze_inputs.py")
    told = [one.value for one in run_trace(request).coverage.assumptions if one.what == "recipe"]
    assert "TRL: quantisation, adapter: not applied to a Python file with build()" in told


@pytest.mark.skipif(not REAL.is_dir(), reason="the collection of real recipes is not here")
def test_adapters_of_the_real_recipes() -> None:
    made: dict[str, list[Preparation]] = {}
    for file in sorted(one for one in REAL.rglob("*") if one.is_file()):
        try:
            found = plans.make({}, [file])[0].preparation
        except AnalyzerError:
            continue
        if found is not None:
            made.setdefault(found.by, []).append(found)
    counts = {by: (sum(bool(p.adapter) for p in of), sum(bool(p.quantization) for p in of)) for by, of in made.items()}
    assert counts == {"TRL": (2, 2), "LLaMA-Factory": (17, 3), "axolotl": (24, 18), "torchtune": (4, 0)}
