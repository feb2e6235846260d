"""Names that a model's files give to be imported: without trust none but the libraries' own is, and nobody is asked."""

from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, LlamaConfig, LlavaConfig

from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from tests.hostile.programs import Writes

TRAP = "leaves_a_mark"
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "vocab_size": 32}  # fmt: skip


@pytest.fixture(autouse=True)
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that can be imported by its name, and leaves a mark then."""
    marker = tmp_path / "marker"
    (tmp_path / f"{TRAP}.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass X: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, TRAP, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 50))
    return marker


def _refused(path: Path, marker: Path, plan: Plan | None = None) -> str:
    with pytest.raises(AnalyzerError) as refused:
        run_trace(ModelRequest(path, plan or Plan()))
    assert not marker.exists()
    return str(refused.value)


def _json(file: Path, data: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data))
    return file.parent


@pytest.mark.parametrize("entry", [
    [TRAP, "X"], ["transformers", "pipeline"], ["transformers", "Trainer"], ["os", "system"], ["diffusers", "_lazy"],
    ["diffusers.pipelines", "X"], [f"../{TRAP}", "X"], [["a"], {}], ["transformers", "__init__"],
])  # fmt: skip
def test_a_pipeline_names_classes_of_two_libraries_alone(entry: Any, tmp_path: Path, trap: Path) -> None:
    pytest.importorskip("diffusers")
    root = _json(tmp_path / "m" / "model_index.json", {"_class_name": "StableDiffusionPipeline", "unet": entry})
    (root / "unet").mkdir()
    assert "names" in _refused(root, trap)


@pytest.mark.parametrize("name", [TRAP, "os.system", ["x"], "StableDiffusionPipeline.from_pretrained", "__doc__"])
def test_a_pipeline_is_a_class_of_diffusers(name: Any, tmp_path: Path, trap: Path) -> None:
    pytest.importorskip("diffusers")
    assert "names" in _refused(_json(tmp_path / "m" / "model_index.json", {"_class_name": name}), trap)


def _sentences(root: Path, *others: dict[str, Any]) -> Path:
    BertConfig(**SMALL).save_pretrained(root)
    first = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    return _json(root / "modules.json", [first, *({"idx": 1, "name": "1", "path": "1", **one} for one in others)])


@pytest.mark.parametrize("kind", [
    f"{TRAP}.X", "sentence_transformers.models.Router", "sentence_transformers.models.WordEmbeddings",
    "sentence_transformers.__main__.X", "sentence_transformers..os.system", 3, None,
])  # fmt: skip
def test_modules_behind_an_encoder_are_of_a_list(kind: Any, tmp_path: Path, trap: Path) -> None:
    assert "modules.json" in _refused(_sentences(tmp_path / "m", {"type": kind}), trap) or kind == f"{TRAP}.X"


@pytest.mark.parametrize("path", ["/etc", "../..", "a\0b", 5])
def test_modules_lie_in_the_folder(path: Any, tmp_path: Path, trap: Path) -> None:
    root = _sentences(tmp_path / "m")
    rows = json.loads((root / "modules.json").read_text())
    _json(root / "modules.json", [rows[0] | {"path": path}])
    assert "no folder of the model" in _refused(root, trap)


@pytest.mark.parametrize("settings", [
    {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "megatron_config": {"x": 1}, "megatron_core": TRAP},
    {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2, "prompt_tuning_init": "TEXT", "task_type": "CAUSAL_LM",
     "prompt_tuning_init_text": "x", "tokenizer_name_or_path": ".", "tokenizer_kwargs": {"trust_remote_code": True}},
])  # fmt: skip
def test_an_adapter_imports_nothing(settings: dict[str, Any], tmp_path: Path, trap: Path) -> None:
    pytest.importorskip("peft")
    base = tmp_path / "m"
    LlamaConfig(**SMALL, architectures=["LlamaForCausalLM"]).save_pretrained(base)
    adapter = _json(tmp_path / "adapter" / "adapter_config.json", settings)
    assert "adapter_config.json" in _refused(base, trap, Plan(adapter=str(adapter)))


def test_a_part_with_code_of_its_own_is_refused_and_nobody_is_asked(
    tmp_path: Path, trap: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "m"
    LlavaConfig(text_config=LlamaConfig(**SMALL), architectures=["LlavaForConditionalGeneration"]).save_pretrained(root)
    settings = json.loads((root / "config.json").read_text())
    names = {"AutoConfig": f"{TRAP}.X", "AutoModel": f"{TRAP}.X", "AutoModelForCausalLM": f"{TRAP}.X"}
    settings["text_config"] = {**settings["text_config"], "model_type": "unheard", "auto_map": names}
    _json(root / "config.json", settings)
    (root / f"{TRAP}.py").write_text((tmp_path / f"{TRAP}.py").read_text())
    _refused(root, trap)
    assert capsys.readouterr() == ("", "") and sys.stdin.read(2) == "y\n"


def test_a_part_that_the_library_knows_asks_nobody(tmp_path: Path, trap: Path) -> None:
    """The class of transformers builds the part from its config, which names code too."""
    root = tmp_path / "m"
    names = {"AutoModel": f"{TRAP}.X", "AutoModelForCausalLM": f"{TRAP}.X"}
    text = LlamaConfig(**SMALL, auto_map=names)
    LlavaConfig(text_config=text, architectures=["LlavaForConditionalGeneration"]).save_pretrained(root)
    run_trace(ModelRequest(root, Plan()))
    assert not trap.exists() and sys.stdin.read(2) == "y\n"


@pytest.mark.parametrize("file", ["pytorch_model.bin", "adapter_model.bin"])
def test_a_pickle_of_weights_runs_nothing(file: str, tmp_path: Path, trap: Path) -> None:
    root = tmp_path / "m"
    LlamaConfig(**SMALL, architectures=["LlamaForCausalLM"]).save_pretrained(root)
    adapter = _json(tmp_path / "a" / "adapter_config.json", {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]})
    folder = root if file.startswith("pytorch") else adapter
    if folder == adapter:
        pytest.importorskip("peft")
    (folder / file).write_bytes(pickle.dumps(Writes(trap)))
    assert "holds more than tensors" in _refused(root, trap, Plan(adapter=str(adapter) if folder != root else None))
    pickle.loads((folder / file).read_bytes())
    assert trap.exists()
