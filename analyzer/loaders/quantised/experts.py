"""Experts whose weights are stored in eight bits: the model's own module, which reads them as dequantised."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import torch
from torch import nn

from analyzer.loaders.quantised.replaced_modules import converts
from analyzer.loaders.quantised.schemes import Scheme

_WEIGHTS: Final = ("gate_up_proj", "up_proj", "down_proj")


def replace_experts(model: Any, scheme: Scheme, settings: dict[str, Any], skips: list[str]) -> dict[str, nn.Module]:
    """Store experts as `replace_with_fp8_linear` does: path -> the module, whose class reads them dequantised.

    Which tensors there are is asked of transformers' FP8Experts; none are before transformers 5.
    """
    try:
        from transformers.integrations.finegrained_fp8 import FP8Experts
    except ImportError:
        return {}
    made: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        if not path.endswith(".experts") or isinstance(module, nn.ModuleList) or not converts(path, skips):
            continue
        config = getattr(module, "config", None) or model.config.get_text_config()
        with torch.device("meta"):
            stored: Any = FP8Experts(
                config, settings.get("weight_block_size"), settings.get("activation_scheme", "dynamic"),
                settings.get("scale_fmt", "float"), getattr(module, "has_bias", False),
                getattr(module, "has_gate", True), settings.get("expert_dtype", "fp8"),
            )  # fmt: skip
        if all(name in module._parameters for name in _WEIGHTS if name in stored._parameters):
            _store(module, stored, scheme)
            made[path] = module
    return made


def _store(module: Any, stored: nn.Module, scheme: Scheme) -> None:
    kind: Any = type(module)
    shapes = {name: tuple(module._parameters[name].shape) for name in _WEIGHTS if name in module._parameters}
    for name, parameter in stored._parameters.items():
        if parameter is not None:
            module._parameters[name] = parameter.requires_grad_(False)
    module.quantised_shapes, module.quantised_scheme, module.quantised_input = shapes, scheme, None
    module.__class__ = _reading(kind, tuple(shapes))


@cache
def _reading(kind: Any, names: tuple[str, ...]) -> type[nn.Module]:
    """The class with weights that are dequantised, to the dtype of the input, whenever its code reads them."""

    def forward(self: Any, hidden_states: torch.Tensor, *args: object, **kwargs: object) -> Any:
        self.quantised_input = hidden_states
        try:
            return kind.forward(self, hidden_states, *args, **kwargs)
        finally:
            self.quantised_input = None

    def weight(name: str) -> property:
        def read(self: Any) -> torch.Tensor:
            packed, given = self._parameters[name], self.quantised_input
            if given is None or packed.dtype.itemsize > 1:
                return packed  # type: ignore[no-any-return]
            scheme, scale = self.quantised_scheme, self._parameters[f"{name}_scale_inv"]
            shape = list(self.quantised_shapes[name])
            dequantize = torch.ops.quantised.dequantize
            return dequantize([packed, scale], given, shape, None, "", "", scheme.reference)  # type: ignore[no-any-return]

        return property(read)

    return type("FP8Experts", (kind,), {"forward": forward, **{name: weight(name) for name in names}})
