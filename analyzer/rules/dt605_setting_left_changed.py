"""The model's code changes a setting of the whole process, and does not put it back.

After `torch.set_default_dtype(torch.float16)` every tensor that anybody makes is float16, after
`torch.set_grad_enabled(False)` nothing learns any more, and autocast that was switched on stays on. Often an error
between the change and its undoing leaves it so. What is changed while the model runs is told as a warning, and so is a
default dtype, gradients or autocast that importing or building it leaves changed; how precise matrix products are is
often set at import on purpose, which is a note.

    x = input : f32[2]
    y = zeros([2]) : f16[2]  # model.py:9
    left running 'default dtype' 'float32' 'float16'  # model.py:8  # DT605

Give the dtype where tensors are made, or use `with torch.no_grad()`, `with torch.autocast(...)` and
`try: ... finally:`, which put back what was there.

    x = input : f32[2]
    y = zeros([2], dtype=f16) : f16[2]  # model.py:9
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import short
from analyzer.rules import Hit

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity

_PRECISION: Final = ("precision",)
"""In the name of a setting of matrix products."""


def check(flow: Flow) -> Iterator[Hit]:
    """Every setting that was left changed."""
    for one in flow.graph.left:
        on_purpose = one.by_loading and any(word in one.setting for word in _PRECISION)
        severity: Severity = "note" if on_purpose else "warning"
        who = "importing or building the model" if one.by_loading else "the run"
        message = f"{who} leaves the {one.setting} of the process at {short(one.after)}, which was {short(one.before)}"
        yield Hit("", message, severity, (one.setting, who), place=one.place)
