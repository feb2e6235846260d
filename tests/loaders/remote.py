"""Writes small folders of remote code, with one thing in it that the tests are about."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import transformers

from analyzer.actions.trace import run_trace
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from analyzer.report import Report

FIVE = int(transformers.__version__.split(".")[0]) >= 5
five = pytest.mark.skipif(not FIVE, reason="transformers 4 does this otherwise")

_CONFIG = {
    "model_type": "own", "architectures": ["OwnModel"], "dtype": "bfloat16", "width": 32, "vocab_size": 32,
    "auto_map": {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"},
}  # fmt: skip
_CONFIGURATION = """
from transformers import PretrainedConfig
class OwnConfig(PretrainedConfig):
    model_type = "own"
    def __init__(self, width=4, vocab_size=32, **kwargs):
        self.width, self.vocab_size = width, vocab_size
        self.hidden_size, self.num_attention_heads = width, 2
        super().__init__(**kwargs)
"""
_MODELING = """
import torch
from torch import nn
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
{imports}

class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    {body}
    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.proj = nn.Linear(config.width, config.width)
        {init}
        self.post_init()
    def get_input_embeddings(self):
        return self.embed
    def forward(self, input_ids, attention_mask=None):
        x = self.embed(input_ids)
        {forward}
        return self.proj(x)
"""


@dataclass(frozen=True)
class Code:
    """What stands in the model's file, and what lies beside it."""

    imports: str = ""
    body: str = ""
    init: str = "pass"
    forward: str = "pass"
    config: dict[str, object] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The folder, with dots and dashes in its name."""
        root = folder / "own-model-v2.5"
        root.mkdir()
        (root / "config.json").write_text(json.dumps({**_CONFIG, **self.config}))
        (root / "configuration_own.py").write_text(_CONFIGURATION)
        init, forward = self.init.replace("\n", "\n        "), self.forward.replace("\n", "\n        ")
        text = _MODELING.format(imports=self.imports, body=self.body, init=init, forward=forward)
        (root / "modeling_own.py").write_text(text)
        for name, content in self.files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        return root

    def trace(self, folder: Path, plan: Plan | None = None, *stubs: str) -> Report:
        """The report of a trace."""
        return run_trace(ModelRequest(self.write(folder), plan or Plan(), trust_remote_code=True, stubs=stubs))


def assumed(report: Report) -> dict[str, str]:
    """What was assumed, but for inputs."""
    return {a.what: a.value for a in report.coverage.assumptions if not a.what.startswith("input ")}


def change(file: Path, old: str, new: str) -> None:
    """Put one text for another in a file that has it."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
