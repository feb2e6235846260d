"""One model of the zoo: a transformers class with a tiny config and inputs, built under a fixed seed."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers as hf
from torch import nn


@dataclass(frozen=True, slots=True)
class Entry:
    """`cls` names the transformers class; `attention` other than "" asks for that attention implementation.

    No config drops layers at random in training: of two runs each would drop its own.
    """

    cls: str
    family: str
    config: dict[str, Any]
    inputs: dict[str, Any]
    attention: str = ""
    routed: str = field(default="")
    """Why the real sequence of operations depends on weights; "" if it does not."""

    @property
    def name(self) -> str:
        return f"{self.cls}, {self.attention}" if self.attention else self.cls

    def build(self) -> nn.Module:
        """The real module in float32, with the seed's weights, in evaluation mode."""
        cls = getattr(hf, self.cls)
        torch.manual_seed(0)
        config = cls.config_class(**copy.deepcopy(self.config))
        if self.attention:
            config._attn_implementation = self.attention
        model: nn.Module = cls(config).eval()
        return model

    def given(self, dtype: torch.dtype) -> dict[str, Any]:
        """The inputs, floats in `dtype`."""
        return {k: v.to(dtype) if v.is_floating_point() else v.clone() for k, v in self.inputs.items()}
