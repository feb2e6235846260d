"""Why one run of a case has operations that the other has not: (model, all such lines) -> the reason."""

from __future__ import annotations

from typing import Final

_LAYOUT: Final = (
    "on torch 2.6 the CPU gives the gradient of a depthwise weight in another memory layout than the meta "
    "kernel says, and autograd copies a gradient whose layout is not that of its parameter "
    "(torch/csrc/autograd/functions/accumulate_grad.h): one copy in bfloat16 more, and no other dtype"
)

EXPLAINED: Final[dict[tuple[str, tuple[str, ...]], str]] = {
    ("ConvNextForImageClassification", ("aten.copy_.default at ", "aten.new_empty_strided.default at ")): _LAYOUT,
}
