"""A wider operand makes a result wide, and what follows computes in the wider dtype as well.

Nothing fails, and that is the trouble: one float32 tensor in a bfloat16 model turns everything behind it to float32,
at twice the memory and a fraction of the speed. A promotion that is cast back inside its own module, as in most
norms, is a note; so is one that widens nothing but itself, and one whose wide operand is meant to be wide (the code
casts it there, or the class keeps its parameter in float32 by name) if no product runs wide for it: a residual stream
in float32. One that ends in a refused call is left to that error. Where autocast gave one of the operands its dtype,
the promotion is autocast's way of working, and no fault.

    x = input : bf16[2,32]
    scale = parameter : f32[32]  @ block.0.norm
    y = mul.Tensor(x, scale) : f32[2,32]  @ block.0.norm  # DT201
    z = gelu(y) : f32[2,32]  @ block.1.act
    out = _to_copy(z) : bf16[2,32]  @ head

Give the wide tensor the dtype of its neighbours, or cast the result back where it is made.

    x = input : bf16[2,32]
    scale = parameter : bf16[32]  @ block.0.norm
    y = mul.Tensor(x, scale) : bf16[2,32]  @ block.0.norm
    z = gelu(y) : bf16[2,32]  @ block.1.act
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import short, width
from analyzer.ir.graph import Node, Ref
from analyzer.rules import Hit, cause
from analyzer.rules.regions import PRODUCTS, Region, base, computes, floats, spread, yields

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity


def check(flow: Flow) -> Iterator[Hit]:
    """Every promotion; those that meet are one, under the first."""
    for region in spread(flow, lambda node: bool(_narrow(flow, node))):
        if region.refused:
            continue
        first = region.starts[0]
        narrow = max((flow.dtype(ref) for ref in _narrow(flow, first)), key=width)
        wide = [ref for ref in floats(flow, first) if flow.dtype(ref) == region.wide]
        key = cause(flow, first, wide)
        severity = _severity(flow, region)
        ops, extra = len(region.computing), region.bytes(flow, narrow)
        message = f"{short(narrow)} becomes {short(region.wide)} here, {_end(region, ops, severity)}"
        yield Hit(first.id, message, severity, key, widened_ops=ops, widened_bytes=extra)
        for start in region.starts[1:]:
            yield Hit(start.id, message, severity, key)


def _narrow(flow: Flow, node: Node) -> list[Ref]:
    """The operands that a promotion widens; none if it is no promotion. DT202 takes those to float64."""
    gives = yields(flow, node)
    if not computes(node) or gives in ("", "float64"):
        return []
    operands = floats(flow, node)
    if len({flow.dtype(ref) for ref in operands}) < 2 or any(_by_autocast(flow, ref) for ref in operands):
        return []
    return [ref for ref in operands if width(flow.dtype(ref)) < width(gives)]


def _by_autocast(flow: Flow, ref: Ref) -> bool:
    return any(origin.kind == "autocast" for origin in flow.origins(ref))


def _severity(flow: Flow, region: Region) -> Severity:
    if not region.open and not region.strays:
        return "note"
    if any(base(node) in PRODUCTS for node in region.computing):
        return "warning"
    return "warning" if region.strays and not _meant(flow, region) else "note"


def _meant(flow: Flow, region: Region) -> bool:
    """Whether everything wide that starts the region was made so by name: a cast or a list of the model's class."""
    wide = [ref for node in region.starts for ref in floats(flow, node) if flow.dtype(ref) == region.wide]
    origins = [origin for ref in wide for origin in flow.origins(ref)]
    return all(origin.kind == "cast" or origin.reason.kind == "kept_in_fp32" for origin in origins) and bool(origins)


def _end(region: Region, ops: int, severity: Severity) -> str:
    if severity == "note" and region.strays:
        return f"on purpose: {ops} operation{'s run' if ops > 1 else ' runs'} wide"
    if not region.open and not region.strays:
        return "and is cast back in the same module"
    return f"so {ops} operation{'s run' if ops > 1 else ' runs'} wide"
