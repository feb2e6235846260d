"""Makes a small copy of a sample folder: the same code and mechanisms, sizes that a test can run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModel

SAMPLES: Final = Path(__file__).parents[2] / "samples"

SMALLER: Final[dict[str, int]] = {
    "vocab_size": 120,
    "hidden_size": 256,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 256,
    "dim_model_base": 64,
    "query_num": 16,
    "scale_resolution": 56,
    "image_size": 56,
    "vision_image_size": 42,
    "vision_hidden_size": 32,
    "vision_intermediate_size": 48,
    "vision_num_hidden_layers": 3,
    "vision_num_attention_heads": 2,
}


def shrink(sample_dir: Path, target: Path, dtype_weights: str | None = None) -> Path:
    """Fill `target` with the sample's code and a small config; with random weights in a dtype, where one is named."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sample_dir.glob("*.py"):
        shutil.copy(file, target)
    config = _smaller(json.loads((sample_dir / "config.json").read_text()))
    _write(config, target)
    if dtype_weights is not None:
        _save_weights(target, getattr(torch, dtype_weights))
        _write(config, target)  # save_pretrained wrote its own view of it
    return target


def _smaller(config: dict[str, Any]) -> dict[str, Any]:
    return config | {key: value for key, value in SMALLER.items() if key in config}


def _write(config: dict[str, Any], target: Path) -> None:
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def _save_weights(target: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(target, trust_remote_code=True)
    model = AutoModel.from_config(config, trust_remote_code=True)  # type: ignore[no-untyped-call]
    model.to(dtype).save_pretrained(target, safe_serialization=True)
