"""What a plan changes after loading, and what is said when a folder cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.ir.reason import Reason
from analyzer.loaders import load


def test_to_casts_floats_and_says_so(llama: Path) -> None:
    loaded = load(llama, Plan(to="float32"))
    assert {p.dtype for p in loaded.module.parameters()} == {torch.float32}
    assert loaded.reasons["model.norm.weight"] == Reason("cast by model.to(float32)")


def test_set_takes_names_globs_and_modules_and_later_wins(llama: Path) -> None:
    plan = Plan(set={"model.layers.0": "float32", "*.q_proj.weight": "float16", "lm_head.weight": "float32"})
    model = load(llama, plan).module
    assert model.get_parameter("model.layers.0.mlp.up_proj.weight").dtype == torch.float32
    assert model.get_parameter("model.layers.0.self_attn.q_proj.weight").dtype == torch.float16
    assert model.get_parameter("model.layers.1.self_attn.k_proj.weight").dtype == torch.bfloat16
    assert model.get_parameter("lm_head.weight").dtype == torch.float32


def test_set_that_matches_nothing(llama: Path) -> None:
    with pytest.raises(AnalyzerError, match=r"did you mean 'model\.layers\.0'"):
        load(llama, Plan(set={"model.layer.0": "float32"}))


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match="no such folder"):
        load(tmp_path / "none", Plan())


def test_a_file_instead_of_a_folder(llama: Path) -> None:
    with pytest.raises(AnalyzerError, match="is a file"):
        load(llama / "config.json", Plan())


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match=r"no config\.json"):
        load(tmp_path, Plan())
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(AnalyzerError, match="names no base model"):
        load(tmp_path, Plan())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"model_type": ', "broken JSON"),
        ("[]", "no JSON object"),
        ("{}", "no model_type"),
        ('{"model_type": "llamma"}', "did you mean 'llama'"),
    ],
)
def test_bad_configs(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(AnalyzerError, match=message):
        load(tmp_path, Plan())


def test_without_architectures_the_auto_mapping_decides(llama: Path) -> None:
    config = json.loads((llama / "config.json").read_text())
    for names, known, given in (
        (None, 0, "LlamaModel"),
        (["Unheard"], 1, "LlamaModel"),
        (["UnheardForCausalLM"], 1, "LlamaForCausalLM"),
        (["UnheardForNoKnownTask"], 1, "LlamaModel"),
    ):
        (llama / "config.json").write_text(json.dumps({**config, "architectures": names}))
        loaded = load(llama, Plan())
        assert loaded.name == given
        assert sum("Unheard" in a.what for a in loaded.assumptions) == known


@pytest.mark.parametrize(
    "data", [b"\x01", b"\xff" * 20, (5).to_bytes(8, "little") + b"{nope", b"\x02" + b"\0" * 7 + b"[]"]
)
def test_a_broken_checkpoint_header(data: bytes, llama: Path) -> None:
    (llama / "model.safetensors").write_bytes(data)
    with pytest.raises(AnalyzerError, match="broken safetensors header"):
        load(llama, Plan())


def test_shards_are_read_and_missing_ones_are_fine(llama: Path) -> None:
    header = json.dumps({"lm_head.weight": {"dtype": "F16", "shape": [64, 16], "data_offsets": [0, 2048]}}).encode()
    (llama / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(2048))
    index = {"weight_map": {"lm_head.weight": "a.safetensors", "model.norm.weight": "b.safetensors"}}
    (llama / "model.safetensors.index.json").write_text(json.dumps(index))
    reasons = load(llama, Plan()).reasons
    assert reasons["lm_head.weight"].text.endswith("stored as float16 in a.safetensors")
    (llama / "model.safetensors.index.json").write_text("{")
    with pytest.raises(AnalyzerError, match="broken checkpoint index"):
        load(llama, Plan())
