"""Which class a folder means, and what it is built from, beside the real from_pretrained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers as hf

from analyzer.ir.plan import Plan
from analyzer.loaders import load

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.mark.parametrize("name", ["CLIPTextModel", "CLIPVisionModel"])
def test_a_part_of_a_model_is_built_from_its_part_of_the_config(name: str, tmp_path: Path) -> None:
    part = {**SMALL, "eos_token_id": 1}
    real = hf.CLIPModel(
        hf.CLIPConfig(text_config={**part, "vocab_size": 64}, vision_config={**SMALL, "image_size": 64})
    )
    real.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "architectures": [name]}))
    cls = getattr(hf, name)
    expected = {key: tuple(value.shape) for key, value in cls.from_pretrained(tmp_path).named_parameters()}
    module = load(tmp_path, Plan()).module
    assert type(module) is cls
    assert {key: tuple(value.shape) for key, value in module.named_parameters()} == expected
