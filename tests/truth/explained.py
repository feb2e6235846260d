"""Why one run of a case has operations that the other has not: (model, a part of each such line) -> the reason."""

from __future__ import annotations

from typing import Final

_LAYOUT: Final = (
    "on torch 2.6 the CPU gives the gradient of a depthwise convolution's weight in another memory layout than the meta "
    "kernel says, and autograd copies a gradient whose layout is not that of its parameter "
    "(torch/csrc/autograd/functions/accumulate_grad.h): one copy in bfloat16 more, and no other dtype"
)

EXPLAINED: Final[dict[tuple[str, str], str]] = {
    ("ConvNextForImageClassification", "aten.copy_.default at "): _LAYOUT,
    ("ConvNextForImageClassification", "aten.new_empty_strided.default at "): _LAYOUT,
}
