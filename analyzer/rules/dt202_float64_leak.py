"""A float64 tensor gets into a computation of narrower floats.

It comes from numpy, whose default is float64, or from `torch.tensor` of a numpy scalar. Accelerators compute it at a
small part of their speed or, as MPS, not at all. Where a module computes in float64 on purpose and casts back
itself, this is a note, unless products run in it because of an operand that nobody cast; tensors of no dimension do
not promote and are not counted.

    x = input : f32[2,32]
    table = buffer : f64[2,32]  @ embed.pos
    y = add.Tensor(x, table) : f64[2,32]  @ embed.pos  # DT202
    z = relu(y) : f64[2,32]  @ mlp.act

Say the dtype where the tensor is made (`dtype=np.float32`), or cast it before its use.

    x = input : f32[2,32]
    table = buffer : f64[2,32]  @ embed.pos
    cast = _to_copy(table) : f32[2,32]  @ embed.pos
    y = add.Tensor(x, cast) : f32[2,32]  @ embed.pos
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import is_float, short
from analyzer.ir.graph import Node, Ref
from analyzer.rules import Hit, cause
from analyzer.rules.regions import computes, floats, spread, yields

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity


def check(flow: Flow) -> Iterator[Hit]:
    """The first operations that compute in float64, unless the whole model does."""
    narrow = _narrow_parameter(flow)
    for region in spread(flow, lambda node: _enters(flow, node, bool(narrow)), alone=False):
        first = region.starts[0]
        others = [flow.dtype(ref) for ref in floats(flow, first) if flow.dtype(ref) != "float64"]
        if region.refused:
            continue
        wide = [ref for ref in first.operands() if flow.dtype(ref) == "float64"]
        meets = short(others[0]) if others else f"a model of {short(narrow)}"
        ops, extra = len(region.computing), region.bytes(flow, others[0] if others else narrow)
        promoted = bool(others) and bool(region.products) and not _is_cast(flow, wide)
        severity: Severity = "warning" if region.open or region.strays or promoted else "note"
        yield Hit(first.id, f"f64 gets into {meets}", severity, cause(flow, first, wide), (), ops, extra)


def _enters(flow: Flow, node: Node, mixed: bool) -> bool:
    if not computes(node) or yields(flow, node) != "float64" or not any(spec.shape for spec in node.outputs):
        return False
    return mixed or any(flow.dtype(ref) != "float64" for ref in floats(flow, node))


def _is_cast(flow: Flow, wide: Iterable[Ref]) -> bool:
    """Whether the code itself casts all that is float64."""
    return all(origin.kind == "cast" for ref in wide for origin in flow.origins(ref))


def _narrow_parameter(flow: Flow) -> str:
    dtypes = (flow.dtypes[node.id][0] for node in flow.graph.stored() if node.op == "parameter")
    return next((dtype for dtype in dtypes if is_float(dtype) and dtype != "float64"), "")
