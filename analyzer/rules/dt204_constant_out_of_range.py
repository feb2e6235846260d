"""A number in the code is too large for the dtype that it is computed in, so it becomes infinite.

The lowest float32, which masks are often filled with, is minus infinity in float16 and bfloat16. A row that is
masked out whole then has a softmax of NaN, and minus infinity times zero is NaN too.

    mask = input : f16[2,32]
    y = mul.Tensor(mask, -3.4028234663852886e+38) : f16[2,32]  @ attn  # DT204

Take the number from the dtype at hand: `torch.finfo(x.dtype).min`.

    mask = input : f16[2,32]
    y = mul.Tensor(mask, -65504.0) : f16[2,32]  @ attn
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import short
from analyzer.ir.graph import Node
from analyzer.rules import Hit
from analyzer.rules.regions import base, yields

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_LIMITS: Final = {"float16": 65520.0, "bfloat16": (2.0 - 2.0**-8) * 2.0**127, "float32": (2.0 - 2.0**-24) * 2.0**127}
"""The least number that rounds to infinity."""
_WRITTEN: Final = frozenset(("add", "fill", "fill_", "full", "full_like", "masked_fill", "mul", "rsub", "sub", "where"))


def check(flow: Flow) -> Iterator[Hit]:
    """Every written number that the result's dtype does not hold; refused calls are an error already."""
    for node in flow.graph.ops():
        gives = yields(flow, node)
        if node.phase or base(node) not in _WRITTEN or gives not in _LIMITS or flow.refused(node.id):
            continue
        number = max(_numbers(node), key=abs, default=0.0)
        if abs(number) >= _LIMITS[gives]:
            message = f"{number:.4g} is out of range for {short(gives)} and becomes {'-' if number < 0 else ''}inf"
            yield Hit(node.id, message, "warning", (str(node.place) or node.id, message))


def _numbers(node: Node) -> Iterator[float]:
    for arg in (*node.args, *(value for key, value in node.kwargs if key in ("other", "value", "fill_value"))):
        if type(arg) in (int, float) and isfinite(arg):  # type: ignore[arg-type]
            yield float(arg)  # type: ignore[arg-type]
