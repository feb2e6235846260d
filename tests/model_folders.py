"""A model folder with its own code, and a plain one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONFIG = {
    "model_type": "own", "architectures": ["OwnModel"], "dtype": "bfloat16", "width": 4, "vocab_size": 32,
    "auto_map": {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"},
}  # fmt: skip
CONFIGURATION = """
from transformers import PretrainedConfig
class OwnConfig(PretrainedConfig):
    model_type = "own"
    def __init__(self, width=4, vocab_size=32, **kwargs):
        self.width, self.vocab_size = width, vocab_size
        super().__init__(**kwargs)
"""
PARTS = """
import numpy as np
import torch
from torch import nn
class Parts(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.pos = nn.Parameter(torch.from_numpy(np.ones((3, width))).float())
        self.made = nn.Parameter(torch.ones(width).float())
        self.register_buffer("scale", torch.ones(width, dtype=torch.float32))
        self.register_buffer("index", torch.arange(4), persistent=False)
"""
MODELING = """
import torch
from torch import nn
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
from .parts import Parts
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.rates = [x.item() for x in torch.linspace(0, 0.1, 3)]
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.parts = Parts(config.width)
        self.proj = nn.Linear(config.width, config.width)
        self.post_init()
    def forward(self, input_ids):
        return self.proj(self.embed(input_ids) + self.parts.made)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with remote code; dots and dashes in its name."""
    folder = tmp_path / "own-model-v2.5"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for name, text in {"configuration_own": CONFIGURATION, "parts": PARTS, "modeling_own": MODELING}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A tiny Llama's folder, without weights."""
    import transformers

    folder = tmp_path / "llama"
    transformers.LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        architectures=["LlamaForCausalLM"], dtype="bfloat16",
    ).save_pretrained(folder)  # fmt: skip
    return folder
