"""Writes a model folder with code of its own, and weights stored in bfloat16."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

CONFIGURATION = """
from transformers import PretrainedConfig
class OwnConfig(PretrainedConfig):
    model_type = "own"
    def __init__(self, vocab_size=32, **kwargs):
        self.vocab_size = vocab_size
        super().__init__(**kwargs)
"""


def write_folder(
    folder: Path,
    modeling: str,
    stored: dict[str, tuple[int, ...]],
    wide: Mapping[str, torch.Tensor] | None = None,
    dtype: str = "bfloat16",
) -> None:
    """Write config, code and weights; `stored` gives each tensor's shape, `wide` is stored as it is.

    `dtype` is what the config says of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    auto = {"AutoConfig": "configuration_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    config = {"model_type": "own", "architectures": ["OwnModel"], "dtype": dtype, "auto_map": auto}
    (folder / "configuration_own.py").write_text(CONFIGURATION)
    (folder / "modeling_own.py").write_text(modeling)
    tensors = {name: torch.ones(shape, dtype=torch.bfloat16) for name, shape in stored.items()}
    tensors |= wide or {}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config))
