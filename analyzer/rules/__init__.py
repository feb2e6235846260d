"""Rules: one file a rule, `dtNNN_the_fault.py`; found by their names, run here, grouped by root cause."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from analyzer.ir.blame.roles import valued
from analyzer.ir.findings import Finding, Operand, Origin
from analyzer.ir.graph import NOWHERE, Node, Place, Ref, above, in_any_layer
from analyzer.ir.witness import NOBODY

if TYPE_CHECKING:  # propagate stands on torch; a rule only reads what it made
    from types import ModuleType

    from analyzer.ir.flow import Flow
    from analyzer.ir.inventory import Held
    from analyzer.ir.literal_types import Severity

DRAWN: Final = 8
"""Up to how many stored tensors of one fault are marked in the picture; more would mark all of it."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One place that a rule flags; hits of one rule with the same severity and key become one finding."""

    node: str
    """Id of the node; "" where the fault is in `tensors` and no call shows it."""
    message: str
    severity: Severity
    key: tuple[str, ...] = ()
    operands: tuple[Operand, ...] = ()
    """Filled from the flow where a rule leaves it out."""
    widened_ops: int = 0
    widened_bytes: int = 0
    tensors: tuple[Held, ...] = ()
    """The stored tensors that the fault is about; the first one says where."""
    place: Place = NOWHERE
    """Where the fault is, if it is in no call and no stored tensor, or in a call that nobody wrote."""


def check(flow: Flow) -> list[Finding]:
    """Run every rule over a flow: the findings, worst first, one for each root cause."""
    findings = []
    for code, name, module in rules():
        groups: dict[tuple[str, ...], list[Hit]] = {}
        for hit in module.check(flow):
            groups.setdefault((hit.severity, *(hit.key or (hit.node, *(t.name for t in hit.tensors)))), []).append(hit)
        findings += [_finding(flow, code, name, hits) for hits in groups.values()]
    return sorted(findings, key=lambda finding: finding.rank)


def rules() -> list[tuple[str, str, ModuleType]]:
    """Code, name and module of every rule, by code."""
    names = sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name.startswith("dt"))
    return [(name[:5].upper(), name[6:].replace("_", "-"), import_module(f"{__name__}.{name}")) for name in names]


def cause(flow: Flow, node: Node, operands: Iterable[Ref]) -> tuple[str, ...]:
    """The key of a root cause: the call and where its odd operands' dtype comes from, all layers of a stack alike."""
    places = set()
    for ref in operands:
        for origin in flow.origins(ref):
            stored = origin.kind in ("parameter", "buffer", "input") or not origin.file
            part = _odd_module(flow, origin) if origin.kind == "parameter" else origin.name
            name = in_any_layer(part)
            places.add(f"{origin.kind} {name if stored else f'{origin.file}:{origin.line}'}")
    return (node.call, *(sorted(places) or [str(node.place) or node.id]))


def _odd_module(flow: Flow, origin: Origin) -> str:
    """The largest module whose matrices all have the dtype of a parameter in it: one fault, if it was left so."""
    found = origin.name
    for path in above(origin.name.rpartition(".")[0]):
        dtypes = flow.matrices.get(path, frozenset())
        if dtypes - {origin.dtype}:
            break
        found = path if dtypes else found
    return found


def _finding(flow: Flow, code: str, name: str, hits: list[Hit]) -> Finding:
    first = hits[0]
    if not first.node:
        return _of_tensors(flow, code, name, hits)
    node = flow.graph[first.node]
    place = node.place if first.place == NOWHERE else first.place
    return Finding(
        code=code,
        name=name,
        severity=first.severity,
        message=first.message,
        op=node.op,
        call=node.call,
        module=node.module,
        file=place.file,
        line=place.line,
        nodes=tuple(dict.fromkeys(hit.node for hit in hits)),
        operands=first.operands or operands(flow, node),
        widened_ops=sum(hit.widened_ops for hit in hits),
        widened_bytes=sum(hit.widened_bytes for hit in hits),
        asked=flow.asked(first.node) if flow.refused(first.node) else NOBODY,
        phase=node.phase,
        step=node.step,
        tensors=_names(hits),
    )


def _of_tensors(flow: Flow, code: str, name: str, hits: list[Hit]) -> Finding:
    first, names = hits[0], _names(hits)
    place = first.tensors[0].place if first.tensors else first.place
    drawn = set(names) if len(names) <= DRAWN else set()
    return Finding(
        code, name, first.severity, first.message, op="", call="", module=names[0].rpartition(".")[0] if names else "",
        file=place.file, line=place.line, nodes=tuple(n.id for n in flow.graph.stored() if n.name in drawn),
        operands=first.operands, tensors=names,
    )  # fmt: skip


def _names(hits: list[Hit]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(held.name for hit in hits for held in hit.tensors))


def concerned(flow: Flow, node: Node) -> tuple[Ref, ...]:
    """The operands whose dtype can be a cause: an index or a mask is none, unless it is the odd one."""
    refs = (*valued(node), *flow.odd(node.id))
    return tuple([ref for ref in node.operands() if ref in refs])


def operands(flow: Flow, node: Node) -> tuple[Operand, ...]:
    """The operands of a call that a finding is about, each with where its dtype comes from."""
    refs = concerned(flow, node)
    return tuple(
        Operand(
            position, flow.graph[ref.id].name or ref.id, flow.dtype(ref), flow.graph.spec(ref).shape, flow.origins(ref)
        )
        for position, ref in enumerate(node.operands())
        if ref in refs
    )
