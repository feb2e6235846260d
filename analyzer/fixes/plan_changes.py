"""Proposals that change the set-up: stored tensors, a component, the whole model, an input, autocast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from analyzer.fixes.search import odd_origins
from analyzer.ir.dtypes import short
from analyzer.ir.findings import Finding, Origin
from analyzer.ir.flow import Flow
from analyzer.ir.literal_types import AUTOCAST_DTYPES
from analyzer.ir.proposals import Proposal

_STORED: Final = ("parameter", "buffer")
_NAMED: Final = 3
"""How many tensors of one proposal are spelled out."""


def setups(flow: Flow, findings: Sequence[Finding]) -> Iterator[Proposal]:
    """Every change of the set-up that could clear an error of this reading; the same one may come twice."""
    wanted_by: dict[str, list[Origin]] = {}
    for finding in findings:
        wanted = flow.graph[finding.nodes[0]].repair if finding.nodes else ""
        if finding.severity != "error" or finding.tensors or not wanted:
            continue
        origins = [origin for node in finding.nodes for origin in odd_origins(flow, node)]
        wanted_by.setdefault(wanted, []).extend(origins)
        yield from _for(origins, wanted)
        yield from _reader(flow, finding, origins)
    for wanted, origins in wanted_by.items():
        yield from _for(origins, wanted)
        yield Proposal("model", f"cast the whole model: model.to({short(wanted)})", {"to": wanted})
        yield from _autocast(flow, wanted)
    if wanted_by and (flow.plan.dtype, flow.plan.to) != ("float32", "float32"):
        change = {"dtype": "float32", "to": "float32"}
        yield Proposal("model", "load and keep the whole model in f32", change)


def _for(found: Sequence[Origin], wanted: str) -> Iterator[Proposal]:
    origins = list(dict.fromkeys(found))
    held = list(dict.fromkeys(origin.name for origin in origins if origin.kind in _STORED))
    inputs = list(dict.fromkeys(origin.name for origin in origins if origin.kind == "input"))
    for name in held if len(held) <= _NAMED else ():
        yield stored([name], wanted)
    if len(held) > 1:
        yield stored(held, wanted)
    for part in dict.fromkeys(name.split(".")[0] for name in held if "." in name):
        yield Proposal("component", f"cast component {part} to {short(wanted)}", {"set": {part: wanted}})
    for some in dict.fromkeys((*((name,) for name in inputs), tuple(inputs))) if inputs else ():
        yield given(some, wanted)


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
