"""DT401 to DT403 against what the real from_pretrained makes of small checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from analyzer.actions.trace import run_trace
from analyzer.ir.findings import Finding
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.loaders.request import ModelRequest
from tests.loaders.test_checkpoint import SMALL
from tests.versions import asked as asked_for


def _saved(folder: Path, dtype: torch.dtype, declared: str, cls: str = "LlamaForCausalLM") -> torch.nn.Module:
    torch.manual_seed(0)
    model = getattr(transformers, cls)(transformers.LlamaConfig(**SMALL)).to(dtype)
    model.save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text()) | {next(iter(asked_for(None))): declared}
    (folder / "config.json").write_text(json.dumps(settings))
    return model  # type: ignore[no-any-return]


def _found(folder: Path, plan: Plan) -> list[Finding]:
    return [f for f in run_trace(ModelRequest(folder, plan)).findings if f.code.startswith("DT4")]


@pytest.mark.parametrize(
    ("stored", "declared", "asked", "severity", "words"),
    [
        ("float32", "bfloat16", None, "warning", "loaded in bf16 as config.json says: 16 of its 24 bits"),
        ("float16", "bfloat16", None, "warning", "3 of its 11 bits"),
        ("bfloat16", "float16", None, "warning", "become infinite"),
        ("bfloat16", "float32", None, "warning", "bytes more and is no more precise"),
        ("float32", "float32", "bfloat16", "note", "as asked"),
        ("bfloat16", "bfloat16", None, "", ""),
        ("bfloat16", "bfloat16", "bfloat16", "", ""),
    ],
)
def test_what_loading_changes_is_really_changed(
    stored: str, declared: str, asked: str | None, severity: str, words: str, tmp_path: Path
) -> None:
    before = _saved(tmp_path, getattr(torch, stored), declared)
    after = transformers.LlamaForCausalLM.from_pretrained(tmp_path, **asked_for(asked))
    found = _found(tmp_path, Plan(dtype=asked))
    really = {
        name
        for (name, one), other in zip(before.named_parameters(), after.parameters(), strict=True)
        if one.dtype != other.dtype
    }
    assert {f.severity for f in found} == ({severity} if severity else set())
    assert {name for f in found for name in f.tensors} == really
    assert all(words in f.message for f in found)
    if severity == "warning" and declared != "float32":  # values that such weights may have do not survive
        value = torch.tensor([1.0 + 2**-9 + 2**-20, 70000.0]).to(getattr(torch, stored))
        assert not torch.equal(value.to(getattr(torch, declared)).to(value.dtype), value)


def _sharded(folder: Path, odd: dict[str, torch.dtype]) -> None:
    """The checkpoint in two files; tensors whose name holds a key of `odd` in that dtype."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[:5], names[5:]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        cast = {n: tensors[n].to(next((d for key, d in odd.items() if key in n), tensors[n].dtype)) for n in part}
        save_file(cast, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_one_layer_that_is_stored_apart_is_a_warning_and_a_kind_is_a_note(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**SMALL, "num_hidden_layers": 2})
    transformers.LlamaForCausalLM(config).bfloat16().save_pretrained(tmp_path)
    _sharded(tmp_path, {"layers.1.mlp": torch.float32, "input_layernorm": torch.float32})
    norms = {f"model.layers.{number}.input_layernorm.weight" for number in (0, 1)}
    for dtype, code, severity in (("bfloat16", "DT405", "warning"), ("float32", "DT402", "note")):
        found = {(f.code, f.severity): f for f in _found(tmp_path, Plan(dtype=dtype))}
        assert set(found[code, severity].tensors) == norms
        assert {".".join(n.split(".")[:4]) for n in found["DT402", "warning"].tensors} == {"model.layers.1.mlp"}
    held = {t.name: t.saved for t in load(tmp_path, Plan()).inventory.tensors}
    for shard in tmp_path.glob("*.safetensors"):  # what the report says is in the files
        for name, tensor in load_file(shard).items():
            assert str(tensor.dtype) == f"torch.{held[name]}"
    assert "in 2 shards" in load(tmp_path, Plan()).inventory.checkpoint()


def test_what_is_missing_is_what_the_real_load_makes_anew(tmp_path: Path) -> None:
    _saved(tmp_path, torch.bfloat16, "bfloat16", "LlamaModel")
    settings = json.loads((tmp_path / "config.json").read_text()) | {
        "architectures": ["LlamaForSequenceClassification"]
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    _, info = transformers.LlamaForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    (finding,) = _found(tmp_path, Plan())
    assert (finding.code, finding.severity) == ("DT403", "warning")
    assert set(finding.tensors) == set(info["missing_keys"]) and finding.file.endswith(".py") and finding.line


def test_a_checkpoint_that_is_not_all_there_says_nothing_of_what_is_missing(tmp_path: Path) -> None:
    _saved(tmp_path, torch.bfloat16, "bfloat16")
    _sharded(tmp_path, {})
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert not _found(tmp_path, Plan())
