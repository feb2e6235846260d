"""Modules of one's own as loaded models whose inputs were made up."""

from __future__ import annotations

from typing import Any

from torch import nn

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of


class Config:
    """As much of a config as the facts ask for."""

    model_type = "own"
    vocab_size = 100
    hidden_size = 8
    image_token_id = 7
    is_encoder_decoder = False


def loaded_with(module: nn.Module, inputs: dict[str, Any], invented: str = "float32") -> Loaded:
    """A module and its inputs as the loader would give them."""
    module.config = Config()  # type: ignore[assignment]
    return Loaded(module, "Own", "", dict(inputs), invented=invented, inventory=inventory_of(module))
