"""A wider operand makes a result wide, and what follows computes in the wider dtype as well.

Nothing fails, and that is the trouble: one float32 tensor in a bfloat16 model turns everything behind it to float32,
at twice the memory and a fraction of the speed. Where matrix products or attention run wide for it, that is a warning,
even if the module casts the result back; so is a result of the model that is wider than the model. Weights that the
code casts to the dtype of what is wide (`w.to(x.dtype)`) run wide as well, and are counted.

A promotion that is cast back inside its own module, as in most norms, is a note; so is one that widens nothing but
itself, and one whose wide operand is meant to be wide (the code casts it there, or the class keeps its parameter in
float32 by name) if no product runs wide for it and no result is wide. A residual stream that is float32 from its
embedding on is how a model is meant, and no finding. One that ends in a refused call is left to that error. Where
autocast gave one of the operands its dtype, the promotion is autocast's way of working, and no fault.

    x = input : bf16[2,32]
    scale = parameter : f32[32]  @ block.0.norm
    y = mul.Tensor(x, scale) : f32[2,32]  @ block.0.norm  # DT201
    z = gelu(y) : f32[2,32]  @ block.1.act
    out = _to_copy(z) : bf16[2,32]  @ head

    q = input : bf16[2,32]
    k = input : bf16[2,32]
    table = constant : f32[2,32]  @ attn
    turned = mul.Tensor(q, table) : f32[2,32]  @ attn  # DT201
    also = mul.Tensor(k, table) : f32[2,32]  @ attn  # DT201
    other = t(also) : f32[32,2]  @ attn
    scores = mm(turned, other) : f32[2,2]  @ attn
    weights = _to_copy(scores, dtype=bf16) : bf16[2,2]  @ attn

Give the wide tensor the dtype of its neighbours, or cast the result back where it is made.

    x = input : bf16[2,32]
    scale = parameter : bf16[32]  @ block.0.norm
    y = mul.Tensor(x, scale) : bf16[2,32]  @ block.0.norm
    z = gelu(y) : bf16[2,32]  @ block.1.act
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.ir.blame import handed_on
from analyzer.ir.dtypes import short, width
from analyzer.ir.findings import Operand, Origin
from analyzer.ir.graph import CAST, Node, Ref, in_any_layer
from analyzer.rules import Hit, cause, operands
from analyzer.rules.regions import PRODUCTS, Region, base, computes, floats, spread, unviewed, yields

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity


def check(flow: Flow) -> Iterator[Hit]:
    """Every promotion; those that meet are one, under the first."""
    products = sum(base(node) in PRODUCTS and not node.phase for node in flow.graph.ops())
    for region in spread(flow, lambda node: bool(_narrow(flow, node))):
        if region.refused or _is_stream(flow, region):
            continue
        first = region.starts[0]
        narrow = max((flow.dtype(ref) for ref in _narrow(flow, first)), key=width)
        key = cause(flow, first, _wide(flow, region, first))
        origins = _origins(flow, region)
        severity = _severity(flow, region, origins)
        message = f"{short(narrow)} becomes {short(region.wide)} here, {_end(flow, region, severity, products)}"
        extra = region.bytes(flow, narrow)
        ops = len(region.computing)
        yield Hit(
            first.id, message, severity, key, _operands(flow, region, origins), widened_ops=ops, widened_bytes=extra
        )
        for start in region.starts[1:]:
            yield Hit(start.id, message, severity, key)


def _narrow(flow: Flow, node: Node) -> list[Ref]:
    """The operands that a promotion widens; none if it is no promotion. DT202 takes those to float64."""
    gives = yields(flow, node)
    if not computes(node) or gives in ("", "float64"):
        return []
    found = floats(flow, node)
    if len({flow.dtype(ref) for ref in found}) < 2 or any(_by_autocast(flow, ref) for ref in found):
        return []
    return [ref for ref in found if width(flow.dtype(ref)) < width(gives)]


def _wide(flow: Flow, region: Region, start: Node) -> list[Ref]:
    """The operands that make a start wide."""
    return [ref for ref in floats(flow, start) if flow.dtype(ref) == region.wide]


def _by_autocast(flow: Flow, ref: Ref) -> bool:
    return any(origin.kind == "autocast" for origin in flow.origins(ref))


def _severity(flow: Flow, region: Region, origins: Sequence[Origin]) -> Severity:
    leaks = _leaks(flow, region)
    kinds = {"cast" if one.kind == "cast" else one.reason.kind for one in origins}
    cast, by_name = kinds == {"cast"}, bool(kinds) and kinds <= {"cast", "kept_in_fp32"}
    if region.products:
        return "note" if cast and not region.strays else "warning"
    return "warning" if (leaks and not cast) or (region.strays and not by_name) else "note"


def _leaks(flow: Flow, region: Region) -> bool:
    """Whether the main result of the model comes out of it, or any of a function that has no modules."""
    if not region.results:
        return False
    return flow.graph.outputs[0] in region.results or not any(node.module for node in flow.graph.ops())


def _origins(flow: Flow, region: Region) -> list[Origin]:
    """Where everything wide that starts a region comes from."""
    wide = [ref for start in region.starts for ref in _wide(flow, region, start)]
    return list(dict.fromkeys(origin for ref in wide for origin in flow.origins(ref)))


def _operands(flow: Flow, region: Region, origins: Sequence[Origin]) -> tuple[Operand, ...]:
    """Those of the first start; its wide one names every source of the region, layers of a stack as one."""
    first = region.starts[0]
    every = {_in_any_layer(one): one for one in reversed(origins)}
    sources = tuple(reversed(every.values()))
    found = operands(flow, first)
    at = next((one.position for one in found if one.dtype == region.wide), None)
    return tuple(replace(one, origins=sources) if one.position == at else one for one in found)


def _in_any_layer(origin: Origin) -> tuple[str, str, str, int]:
    name = origin.name if origin.kind == "input" else in_any_layer(origin.name)
    return origin.kind, name, origin.file, origin.line


def _is_stream(flow: Flow, region: Region) -> bool:
    """Whether the wide operand of every promotion is the residual stream of a model, which its embedding made wide.

    A float32 weight of a norm meets what is float32 already, and promotes nothing.
    """
    wide = [ref for start in region.starts if _narrow(flow, start) for ref in _wide(flow, region, start)]
    return not region.products and all(_is_embedded(flow, ref) for ref in wide) and bool(wide)


def _is_embedded(flow: Flow, start: Ref) -> bool:
    """Whether everything that a tensor has its dtype from is an embedding, or the cast of one."""
    waiting, seen = [start], set()
    while waiting:
        ref = waiting.pop()
        if ref in seen:
            continue
        seen.add(ref)
        node = flow.graph[ref.id]
        made = unviewed(flow, flow.graph[node.operands()[0].id]) if node.op == CAST else node
        if base(made) == "embedding":
            continue
        before = [one for one in handed_on(flow.graph, ref, flow.dtype) if flow.dtype(one) == flow.dtype(ref)]
        if not before:
            return False
        waiting += before
    return True


def _end(flow: Flow, region: Region, severity: Severity, every: int) -> str:
    """How far a promotion reaches, also in how many of the model's products."""
    ops, products = len(region.computing), len(region.products)
    if severity == "note" and region.strays:
        return f"on purpose: {_run(ops)} wide"
    if severity == "note" and not region.open:
        return "and is cast back in the same module"
    said = f"so {_run(ops)} wide"
    said += f", {products:,} of {every:,} product{'s' * (every > 1)} among them" if products else ""
    if not region.results:
        return said
    extra = sum(flow.graph.spec(ref).bytes for ref in region.results)
    results = "1 result of the model is" if len(region.results) == 1 else f"{len(region.results)} results are"
    return f"{said}, and {results} {short(region.wide)} ({extra:,} bytes)"


def _run(ops: int) -> str:
    return f"{ops:,} operation{'s run' if ops > 1 else ' runs'}"
