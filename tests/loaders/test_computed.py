"""Integers that no checkpoint holds have the values that the real loading computes for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as hf

from analyzer.ir.plan import Plan
from analyzer.loaders import load
from tests.versions import asked

CASES = {
    "EncodecModel": {
        "num_filters": 4, "hidden_size": 16, "codebook_size": 8, "codebook_dim": 16, "upsampling_ratios": [2, 2],
    },
    "BertModel": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 32,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_tables_of_integers_are_those_of_from_pretrained(name: str, tmp_path: Path) -> None:
    cls = getattr(hf, name)
    cls(cls.config_class(**CASES[name])).save_pretrained(tmp_path)
    real = cls.from_pretrained(tmp_path, **asked("bfloat16"))
    ours = load(tmp_path, Plan(dtype="bfloat16")).module
    saved = real.state_dict()
    wanted = {n: b for n, b in real.named_buffers() if not b.is_floating_point() and n not in saved}
    assert wanted
    for path, buffer in wanted.items():
        assert torch.equal(ours.get_buffer(path), buffer)
