"""Proposals that change the set-up: stored tensors, a component, the whole model, an input, autocast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from analyzer.fixes.search import odd_origins, to_cast
from analyzer.ir.dtypes import is_float, short
from analyzer.ir.findings import Finding, Origin
from analyzer.ir.flow import Flow
from analyzer.ir.literal_types import AUTOCAST_DTYPES
from analyzer.ir.proposals import Proposal

_STORED: Final = ("parameter", "buffer")
_NAMED: Final = 3
"""How many tensors of one proposal are spelled out."""


def setups(flow: Flow, findings: Sequence[Finding]) -> Iterator[Proposal]:
    """Every change of the set-up that could clear an error of this reading; the same one may come twice.

    A whole part, the whole model, or autocast changes floats alone: they are none for an integer or a mask.
    """
    wanted_by: dict[str, list[Origin]] = {}
    for finding in findings:
        wanted = flow.graph[finding.nodes[0]].repair if finding.nodes else ""
        if finding.severity != "error" or finding.tensors or not wanted:
            continue
        origins = [origin for node in finding.nodes for origin in odd_origins(flow, node)]
        yield from _for(origins, wanted)
        odd = (flow.dtype(ref) for node in finding.nodes for ref in to_cast(flow, node))
        if is_float(wanted) and any(map(is_float, odd)):
            wanted_by.setdefault(wanted, []).extend(origins)
            yield from _components(origins, wanted)
            yield from _reader(flow, finding, origins)
    for wanted, origins in wanted_by.items():
        yield from _for(origins, wanted)
        yield from _components(origins, wanted)
        yield Proposal("model", f"cast the whole model: model.to({short(wanted)})", {"to": wanted})
        yield from _autocast(flow, wanted)
    if wanted_by and (flow.plan.dtype, flow.plan.to) != ("float32", "float32"):
        change = {"dtype": "float32", "to": "float32"}
        yield Proposal("model", "load and keep the whole model in f32", change)


def _for(found: Sequence[Origin], wanted: str) -> Iterator[Proposal]:
    held, inputs = _names(found, _STORED), _names(found, ("input",))
    for name in held if len(held) <= _NAMED else ():
        yield stored([name], wanted)
    if len(held) > 1:
        yield stored(held, wanted)
    for name in inputs:
        yield given([name], wanted)
    if len(inputs) > 1:
        yield given(inputs, wanted)


def _components(found: Sequence[Origin], wanted: str) -> Iterator[Proposal]:
    for part in dict.fromkeys(name.split(".")[0] for name in _names(found, _STORED) if "." in name):
        yield Proposal("component", f"cast component {part} to {short(wanted)}", {"set": {part: wanted}})


def _names(found: Sequence[Origin], kinds: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(origin.name for origin in found if origin.kind in kinds))


def _reader(flow: Flow, finding: Finding, origins: Sequence[Origin]) -> Iterator[Proposal]:
    """The component that refuses what comes from others, in the dtype of that: a decoder in that of its latents."""
    odd = {origin.dtype for origin in origins}
    makers = {origin.name.split(".")[0] for origin in origins if origin.kind in _STORED}
    for part in dict.fromkeys(flow.graph[node].module.split(".")[0] for node in finding.nodes):
        if part and len(odd) == 1 and part not in makers:
            (dtype,) = odd
            yield Proposal("component", f"cast component {part} to {short(dtype)}", {"set": {part: dtype}})


def stored(names: Sequence[str], wanted: str) -> Proposal:
    """The cast of stored tensors, once after loading."""
    what = f"cast {listed(names)} to {short(wanted)} once after loading"
    return Proposal("stored", what, {"set": dict.fromkeys(names, wanted)})


def given(names: Sequence[str], wanted: str) -> Proposal:
    """Inputs in another dtype."""
    what = f"give input{'s' * (len(names) > 1)} {listed(names)} in {short(wanted)}"
    return Proposal("input", what, {"input_dtypes": dict.fromkeys(names, wanted)})


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _autocast(flow: Flow, wanted: str) -> Iterator[Proposal]:
    plan = flow.plan
    if plan.autocast is None and wanted in AUTOCAST_DTYPES:
        name = f"{plan.device}:{wanted}"
        yield Proposal("autocast", f"run forward under autocast {name}", {"autocast": name})
    elif plan.autocast is not None and plan.scope == "forward":
        yield Proposal("autocast", f"autocast {plan.autocast} around the whole run", {"scope": "run"})
