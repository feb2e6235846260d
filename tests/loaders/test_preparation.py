"""What recipes have done to a model, against the real peft and bitsandbytes in the order of each framework."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from analyzer import plans
from analyzer.capture.tensor import dtype_name
from analyzer.errors import AnalyzerError
from analyzer.ir.graph import UPDATED
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.running.forward import capture
from tests.capture.real import really_trained

peft = pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")

TINY: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 32,
}  # fmt: skip
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**TINY)),
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**TINY)),  # has biases
    "mixtral": lambda: hf.MixtralForCausalLM(hf.MixtralConfig(**TINY, num_local_experts=2)),  # has gates
}
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA: dict[str, Any] = {"task_type": "CAUSAL_LM", "r": 4}
BF16 = torch.bfloat16


@pytest.fixture(scope="module", params=MODELS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a small model in bfloat16."""
    root = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    MODELS[request.param]().to(BF16).save_pretrained(root)
    return root


def _loaded(base: Path, bits: int = 0, **more: Any) -> Any:
    config = (
        hf.BitsAndBytesConfig(**{f"load_in_{bits}bit": True, "bnb_4bit_compute_dtype": BF16, **more}) if bits else None
    )
    return hf.AutoModelForCausalLM.from_pretrained(base, dtype=BF16, quantization_config=config)


def _peft(model: Any, **config: Any) -> Any:
    return peft.get_peft_model(model, peft.LoraConfig(**LORA, **config))


def _narrow_trained(model: Any, dtype: torch.dtype) -> Any:
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    return model


def _axolotl(model: Any, kbit: bool) -> Any:
    """In the order of `_configure_embedding_dtypes`: wide, for k bits, narrow again."""
    for dtype, words in ((torch.float32, r"norm|\.gate$|embed_tokens|lm_head"), (BF16, r"norm|embed_tokens|lm_head")):
        for name, module in model.named_modules():
            if re.search(words, name) and "experts" not in name:
                module.to(dtype)
        if kbit and dtype == torch.float32:
            model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model.enable_input_require_grads()
    return model


def _upcast(model: Any) -> Any:
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1 and ("norm" in name or "ln" in name):
            parameter.data = parameter.data.float()
    return model


_AXOLOTL = "base_model: x\nbf16: auto\nlora_r: 4\nlora_alpha: 8\n"
_FACTORY = "stage: sft\ndo_train: true\nbf16: true\nlora_rank: 4\ndisable_gradient_checkpointing: true\n"
_LORA = f"{_AXOLOTL}adapter: lora\n"
_PURE = _FACTORY.replace("bf16", "pure_bf16")
_DEFAULTS = "bf16: true\ndtype: bfloat16\nuse_peft: true\nlora_r: 4\nlora_dropout: 0\n"
_TRL = f"{_DEFAULTS}lora_target_modules: [q_proj, v_proj]\n"
_STORAGE = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": BF16}
RECIPES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "trl": (_TRL, lambda base: _peft(_loaded(base), target_modules=["q_proj", "v_proj"])),
    "trl, default targets": (
        f"{_DEFAULTS}lora_modules_to_save: [lm_head]\n",
        lambda base: _peft(_loaded(base), modules_to_save=["lm_head"]),
    ),
    "trl, 4 bits": (
        f"{_TRL}load_in_4bit: true\n",
        lambda base: _narrow_trained(_peft(_loaded(base, 4), target_modules=["q_proj", "v_proj"]), BF16),
    ),
    "trl, 8 bits, a head": (
        f"{_TRL}load_in_8bit: true\nlora_modules_to_save: [lm_head]\n",
        lambda base: _narrow_trained(
            _peft(_loaded(base, 8), target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"]), BF16
        ),
    ),
    "axolotl": (
        f"{_AXOLOTL}adapter: lora\nlora_target_modules: [q_proj, o_proj]\n",
        lambda base: _peft(_axolotl(_loaded(base), False), target_modules=["q_proj", "o_proj"]),
    ),
    "axolotl, 4 bits": (
        f"{_AXOLOTL}adapter: qlora\nload_in_4bit: true\nlora_target_modules: [q_proj, o_proj]\n",
        lambda base: _peft(_axolotl(_loaded(base, 4, **_STORAGE), True), target_modules=["q_proj", "o_proj"]),
    ),
    "axolotl, 8 bits": (
        f"{_AXOLOTL}adapter: lora\nload_in_8bit: true\nlora_target_modules: [q_proj, o_proj]\n",
        lambda base: _peft(_axolotl(_loaded(base, 8), True), target_modules=["q_proj", "o_proj"]),
    ),
    "LLaMA-Factory": (
        f"{_FACTORY}lora_target: q_proj, v_proj\nadditional_target: lm_head\n",
        lambda base: _narrow_trained(
            _peft(_loaded(base), target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"]), torch.float32
        ),
    ),
    "LLaMA-Factory, pure": (
        f"{_PURE}lora_target: q_proj,v_proj\nadditional_target: lm_head\n",
        lambda base: _peft(_loaded(base), target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"]),
    ),
    "LLaMA-Factory, 4 bits": (
        f"{_FACTORY}lora_target: q_proj, v_proj\nquantization_bit: 4\nupcast_layernorm: true\n",
        lambda base: _peft(_upcast(_loaded(base, 4, **_STORAGE)), target_modules=["q_proj", "v_proj"]),
    ),
    "LLaMA-Factory, full": (
        f"{_FACTORY}finetuning_type: full\n",
        lambda base: _narrow_trained(_loaded(base), torch.float32),
    ),
}  # fmt: skip


def _plan(text: str, folder: Path) -> Plan:
    file = folder / "recipe.yaml"
    file.write_text(text)
    return plans.make({"device": "cpu"}, [file])[0]


def _held(model: nn.Module) -> dict[str, tuple[str, bool]]:
    return {n: (dtype_name(p.dtype), p.requires_grad) for n, p in model.named_parameters(remove_duplicate=False)}


def _refused_by_both(base: Path, real: Callable[[Path], Any], plan: Plan) -> bool:
    """Whether peft refuses its own defaults for this model, as peft 0.21 does for Mixtral."""
    try:
        real(base)
    except ValueError as error:
        with pytest.raises(AnalyzerError, match="peft stopped") as ours:
            load(base, plan)
        assert str(error).splitlines()[0] in str(ours.value)
        return True
    return False


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("name", RECIPES)
def test_the_model_is_as_the_framework_trains_it(name: str, base: Path, tmp_path: Path) -> None:
    text, real = RECIPES[name]
    plan = _plan(text, tmp_path)
    if _refused_by_both(base, real, plan):
        return
    loaded = load(base, plan)
    assert _held(loaded.module) == _held(real(base))
    assert all(loaded.reasons[n].text for n in _held(loaded.module))


@pytest.mark.parametrize("name", ["trl", "trl, default targets", "axolotl", "LLaMA-Factory", "LLaMA-Factory, full"])
def test_a_step_is_the_real_one(name: str, base: Path, tmp_path: Path) -> None:
    text, real = RECIPES[name]
    plan = _plan(text.replace("bf16: true\n", "").replace("bf16: auto", "bf16: full"), tmp_path)  # without autocast
    if _refused_by_both(base, real, plan):
        return
    loaded = load(base, plan)
    seen, error = really_trained(real(base), loaded.inputs)
    graph = capture(loaded, plan).graph
    refused = [node.refused for node in graph.ops() if node.refused]
    assert (error is not None) == bool(refused), (error, refused)
    ours = [(n.op, tuple(s.dtype for s in n.outputs)) for n in graph.ops() if n.op != UPDATED and n.outputs]
    if error is None and not base.name.startswith("mixtral"):  # whose experts are chosen by values
        assert seen and ours == seen


@pytest.mark.parametrize("text", [f"{_FACTORY}lora_target: all\n", f"{_LORA}lora_target_linear: true\n"])
def test_all_linear_layers(text: str, tmp_path: Path) -> None:
    MODELS["llama"]().to(BF16).save_pretrained(tmp_path / "base")
    ours = load(tmp_path / "base", _plan(text, tmp_path)).module
    assert _adapted(ours) == _adapted(_peft(_loaded(tmp_path / "base"), target_modules=LINEARS)) != set()


def _adapted(model: nn.Module) -> set[str]:
    return {name for name, _ in model.named_parameters() if "lora_" in name}


@pytest.mark.parametrize(("frozen", "where"), [("", "language_model"), ("freeze_vision_tower: false\n", "visual")])
def test_the_vision_tower_has_an_adapter_where_it_is_not_frozen(frozen: str, where: str, tmp_path: Path) -> None:
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64,
              "fullatt_block_indexes": [0]}  # fmt: skip
    config = hf.Qwen2_5_VLConfig(text_config=TINY, vision_config=vision, dtype="bfloat16")
    config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
    config.save_pretrained(tmp_path / "base")
    names = _adapted(load(tmp_path / "base", _plan(f"{_FACTORY}{frozen}", tmp_path)).module)
    assert any(where in name for name in names) and not any("merger" in n or "lm_head" in n for n in names)
    assert any("visual" in name for name in names) == bool(frozen)


@pytest.mark.parametrize("tied", [False, True])
def test_a_wide_head(tied: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**TINY, tie_word_embeddings=tied)).to(BF16)
    model.save_pretrained(tmp_path / "base")
    text = "dtype: bfloat16\ncast_lm_head_to_fp32: true\nper_device_train_batch_size: 1\n"
    plan = _plan(text, tmp_path)
    loaded = load(tmp_path / "base", plan)
    dtypes = {name: dtype for name, (dtype, _) in _held(loaded.module).items()}
    assert dtypes["lm_head.weight"] == "float32" and dtypes["model.norm.weight"] == "bfloat16"
    assert dtypes["model.embed_tokens.weight"] == ("float32" if tied else "bfloat16")
    graph = capture(loaded, plan).graph
    products = {n.outputs[0].dtype for n in graph.ops() if n.module == "lm_head" and n.op == "aten.mm.default"}
    assert products == {"float32"} and not [n.refused for n in graph.ops() if n.refused]
    copied = copy.deepcopy(loaded.module)
    assert copied.lm_head.forward.__self__ is copied.lm_head  # type: ignore[union-attr]
    lora = f"{text}use_peft: true\n"
    if tied:  # as trl 1.16 stops
        with pytest.raises(AnalyzerError, match="'LlamaForCausalLM' object has no attribute 'embed_tokens'"):
            load(tmp_path / "base", _plan(lora, tmp_path))
    with pytest.raises(AnalyzerError, match="no plain linear layer"):
        load(tmp_path / "base", _plan(f"{lora}lora_target_modules: [lm_head, q_proj]\n", tmp_path))


def test_an_adapter_that_does_not_fit_is_told_in_the_words_of_peft(tmp_path: Path) -> None:
    MODELS["llama"]().save_pretrained(tmp_path / "base")
    one = f"{_TRL}".replace("[q_proj, v_proj]", "[q_proj]")  # which trl makes a pattern of whole paths
    for text in (one, _TRL.replace("q_proj, v_proj", "c_attn, c_proj")):
        plan = _plan(text, tmp_path)
        assert plan.preparation is not None
        settings = {key: value for key, value in plan.preparation.adapter.items() if key != "peft_type"}
        with pytest.raises(ValueError, match="modules") as real:
            peft.get_peft_model(_loaded(tmp_path / "base"), peft.LoraConfig(**settings))
        with pytest.raises(AnalyzerError, match="the adapter of the recipe: peft stopped") as ours:
            load(tmp_path / "base", plan)
        assert str(real.value).splitlines()[0][:60] in str(ours.value)


def test_a_folder_given_by_hand_wins(tmp_path: Path) -> None:
    MODELS["llama"]().to(BF16).save_pretrained(tmp_path / "base")
    peft.LoraConfig(**LORA, target_modules=["k_proj"]).save_pretrained(tmp_path / "adapter")
    plan = _plan(_TRL, tmp_path).changed({"adapter": str(tmp_path / "adapter")})
    names = _adapted(load(tmp_path / "base", plan).module)
    assert names and all("k_proj" in name for name in names)
