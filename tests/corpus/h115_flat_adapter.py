"""PEFT keeps an adapter in float32 on a half base, and FSDP cannot flatten the two together (huggingface/peft#484)."""

from __future__ import annotations

import torch
from torch import nn

from analyzer.ir.plan import Plan, Training
from tests.corpus.case import RAISES, Case, Made
from tests.corpus.h111_flat_unit import WRAP, flatten


class Base(nn.Module):
    """A layer that an adapter is put beside."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project."""
        return self.proj(x)  # type: ignore[no-any-return]


def build(mended: bool) -> Made:
    """A half base with an adapter that peft makes; the base in float32 too when mended."""
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.tuners_utils import cast_adapter_dtype

    dtype = torch.float32 if mended else torch.float16
    module = inject_adapter_in_model(LoraConfig(r=2, target_modules=["proj"]), Base().to(dtype))
    cast_adapter_dtype(module, "default", autocast_adapter_dtype=True)
    return module, {"x": torch.ones(2, 8, dtype=dtype)}


CASE = Case(
    report="huggingface/peft#484",
    kind=RAISES,
    build=build,
    code="DT501",
    cause="parameter proj.lora_A.default.weight",
    fix="the base is loaded in float32 too",
    plan=Plan(device="cpu", train=True, training=Training(fsdp=WRAP)),
    really=flatten,
)
