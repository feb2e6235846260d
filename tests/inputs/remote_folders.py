"""Writes small folders with remote code, and builds their classes for real."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analyzer.actions.trace import run_trace
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from analyzer.report import Report

HEAD = """import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

class OwnConfig(PretrainedConfig):
    model_type = "own"

class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.embedding = nn.Embedding(64, 8)
        self.head = nn.Linear(8, 8)
        self.post_init()
"""


def folder(path: Path, body: str, files: dict[str, str] | None = None, **settings: Any) -> Path:
    """A folder whose model has this body, indented by four, and a convolution, an embedding and a linear layer."""
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    config = {"architectures": ["OwnModel"], "model_type": "own", "torch_dtype": "bfloat16", "image_size": 16,
              "hidden_size": 8, "vocab_size": 64, "auto_map": auto_map, **settings}  # fmt: skip
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "modeling_own.py").write_text(HEAD + body)
    for name, text in (files or {}).items():
        (path / name).write_text(text)
    return path


def traced(path: Path, plan: Plan | None = None, *, inputs: Path | None = None, only_text: bool = False) -> Report:
    """The report on a folder, on the CPU's kernels unless a plan says otherwise."""
    request = ModelRequest(path, plan or Plan(device="cpu"), True, inputs, text_only=only_text)
    return run_trace(request)


def real(path: Path, dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """The folder's model with random weights, as people build it."""
    name = f"_real_{path.name}"
    spec = importlib.util.spec_from_file_location(name, path / "modeling_own.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    config = module.OwnConfig(**json.loads((path / "config.json").read_text()))
    return module.OwnModel(config).to(dtype).eval()  # type: ignore[no-any-return]


def assumed(report: Report) -> dict[str, str]:
    """What was assumed, by what it is about."""
    return {one.what: one.value for one in report.coverage.assumptions}
