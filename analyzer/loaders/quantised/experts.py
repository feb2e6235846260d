"""Experts whose weights are stored in eight bits: transformers' own module, with products that run anywhere."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import torch
from torch import nn

from analyzer.loaders.quantised.choosing import converts
from analyzer.loaders.quantised.schemes import Scheme
from analyzer.loaders.quantised.standin import product


def replace_experts(
    model: Any, scheme: Scheme, settings: dict[str, Any], loaded: str, skips: list[str]
) -> dict[str, nn.Module]:
    """Put FP8Experts where `replace_with_fp8_linear` does: path -> the new module. None before transformers 5."""
    try:
        from transformers.integrations.finegrained_fp8 import FP8Experts
    except ImportError:
        return {}
    made: dict[str, nn.Module] = {}
    for path, module in list(model.named_modules()):
        if not path.endswith(".experts") or isinstance(module, nn.ModuleList) or not converts(path, skips):
            continue
        config = copy.copy(getattr(module, "config", None) or model.config.get_text_config())
        config._experts_implementation = "eager"  # the loop over experts, which is the one that calls `linear`
        with torch.device("meta"):
            experts: Any = FP8Experts(
                config, settings.get("weight_block_size"), settings.get("activation_scheme", "dynamic"),
                settings.get("scale_fmt", "float"), getattr(module, "has_bias", False),
                getattr(module, "has_gate", True), settings.get("expert_dtype", "fp8"),
            )  # fmt: skip
        experts.requires_grad_(False)
        experts.linear = partial(_linear, scheme, settings, loaded)
        model.set_submodule(path, experts)
        made[path] = experts
    return made


def _linear(
    scheme: Scheme, settings: dict[str, Any], loaded: str, input: torch.Tensor, weight: torch.Tensor,
    weight_scale_inv: torch.Tensor, activation_scale: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    if weight.dtype.itemsize > 1:
        return torch.nn.functional.linear(input, weight, None)
    shape = [weight.shape[0], input.shape[-1]]
    return product(scheme, settings, loaded, input, [weight, weight_scale_inv], shape, None)
