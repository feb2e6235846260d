"""Proposals that change the set-up: stored tensors, a component, the whole model, an input, autocast."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from analyzer.fixes.search import odd_origins, taken, to_cast
from analyzer.ir.dtypes import is_float, keeping, kind, real_part, short
from analyzer.ir.findings import Finding, Origin
from analyzer.ir.fixes.proposals import Proposal
from analyzer.ir.flow import Flow
from analyzer.ir.literal_types import AUTOCAST_DTYPES
from analyzer.ir.plan import names

_STORED: Final = ("parameter", "buffer")
_ADAPTED: Final = re.compile(r"\b(lora|adapter|ia3|vera|oft|boft|hada|lokr|prompt_encoder)_?\w*\b")
"""Names of tensors that an adapter brings."""
_IN_A_LIST: Final = re.compile(r"(\.\d+)+$")
_NAMED: Final = 3
"""How many tensors of one proposal are spelled out."""


def setups(flow: Flow, findings: Sequence[Finding]) -> Iterator[Proposal]:
    """Every change of the set-up that could clear an error of this reading; the same one may come twice.

    Each call may be mended both ways: what is odd is cast to what the others have, or the others to what it has. A
    whole part, the whole model, or autocast changes floats alone: they are none for an integer or a mask. What holds a
    complex tensor is not cast as a whole, as that takes its imaginary part away.
    """
    whole = _complex(flow)
    wanted_by: dict[str, list[Origin]] = {}
    for finding in findings:
        for wanted in _wanted(flow, finding):
            origins = [origin for node in finding.nodes for origin in odd_origins(flow, node, wanted)]
            yield from _for(origins, wanted)
            odd = (flow.dtype(ref) for node in finding.nodes for ref in to_cast(flow, node, wanted))
            if is_float(wanted) and any(map(is_float, odd)):
                wanted_by.setdefault(wanted, []).extend(origins)
                yield from _components(origins, wanted, whole)
                yield from _reader(flow, finding, origins, whole)
    for wanted, origins in wanted_by.items():
        yield from _for(origins, wanted)
        yield from _components(origins, wanted, whole)
        yield from _adapter(flow, origins, wanted)
        if not whole:
            yield from _whole(flow, wanted)
        yield from _autocast(flow, wanted)
    if wanted_by:
        yield from _in_f32(flow, whole=bool(whole))


def _wanted(flow: Flow, finding: Finding) -> tuple[str, ...]:
    """The dtypes that the operands of a finding's calls may be given: that of the repair first."""
    if finding.severity != "error" or finding.tensors or not finding.nodes:
        return ()
    node = flow.graph[finding.nodes[0]]
    return tuple(filter(None, dict.fromkeys((node.repair, *taken(flow, node)))))


def _whole(flow: Flow, wanted: str) -> Iterator[Proposal]:
    """The model in one dtype; and its inputs too, where these have another."""
    if wanted != "float32" or not flow.inventory.loaded:  # it is loaded so: see `_in_f32`
        yield Proposal("model", f"cast the whole model: model.to({short(wanted)})", {"to": wanted})
    floats = [one for one in flow.graph.stored() if one.op == "input" and is_float(flow.dtypes[one.id][0])]
    if any(flow.dtypes[one.id][0] != wanted for one in floats):
        inputs = {settable(one.name): wanted for one in floats}
        what = f"cast the whole model and its inputs {_listed(inputs, 'to')}"
        yield Proposal("model", what, {"to": wanted, "input_dtypes": inputs})


def _adapter(flow: Flow, found: Sequence[Origin], wanted: str) -> Iterator[Proposal]:
    """The adapter alone, where what is odd is of one."""
    held = {
        one.name: wanted for one in flow.inventory.tensors if _ADAPTED.search(one.name) and is_float(one.spec.dtype)
    }
    if any(origin.name in held for origin in found):
        yield Proposal("component", f"cast the adapter ({len(held)} tensors) to {short(wanted)}", {"set": held})


def _in_f32(flow: Flow, *, whole: bool) -> Iterator[Proposal]:
    """The whole model in float32; `whole` says that something complex in it cannot be cast."""
    if (flow.plan.dtype, flow.plan.to) == ("float32", "float32") or not flow.inventory.loaded:
        return
    if not whole:
        change = {"dtype": "float32", "to": "float32"}
        yield Proposal("model", "load and keep the whole model in f32", change)
    elif flow.plan.dtype not in (None, "float32") and flow.plan.to is None:
        yield Proposal("model", "load the whole model in f32", {"dtype": "float32"})


def _for(found: Sequence[Origin], wanted: str) -> Iterator[Proposal]:
    held, inputs = _casts(found, _STORED, wanted), _casts(found, ("input",), wanted)
    for name in held if len(held) <= _NAMED else ():
        yield stored({name: held[name]})
    if len(held) > 1:
        yield stored(held)
    for name in inputs:
        yield given({name: inputs[name]})
    if len(inputs) > 1:
        yield given(inputs)


def _complex(flow: Flow) -> list[str]:
    """The complex tensors that the model holds."""
    read = {node.name: node.dtype for node in flow.graph.stored() if node.op in _STORED}
    held = {one.name: one.spec.dtype for one in flow.inventory.tensors}
    return [name for name, dtype in (read | held).items() if kind(dtype) == "complex"]


def _components(found: Sequence[Origin], wanted: str, whole: Sequence[str]) -> Iterator[Proposal]:
    for part in dict.fromkeys(name.split(".")[0] for name in _casts(found, _STORED, wanted) if "." in name):
        if not any(names(part, name) for name in whole):
            yield Proposal("component", f"cast component {part} to {short(wanted)}", {"set": {part: wanted}})


def _casts(found: Sequence[Origin], kinds: Sequence[str], wanted: str) -> dict[str, str]:
    """The name of each origin of some kinds -> the dtype that it is cast to."""
    return {
        settable(origin.name) if origin.kind == "input" else origin.name: keeping(origin.dtype, wanted)
        for origin in found if origin.kind in kinds
    }  # fmt: skip


def settable(name: str) -> str:
    """The name by which a plan gives an input another dtype: that of a whole list, not of a tensor in it.

    >>> settable("data.pixel_values.0.1")
    'data.pixel_values'
    """
    return _IN_A_LIST.sub("", name)


def _reader(flow: Flow, finding: Finding, origins: Sequence[Origin], whole: Sequence[str]) -> Iterator[Proposal]:
    """The component that refuses what comes from others, in the dtype of that: a decoder in that of its latents."""
    odd = {real_part(origin.dtype) for origin in origins}
    makers = {origin.name.split(".")[0] for origin in origins if origin.kind in _STORED}
    for part in dict.fromkeys(flow.graph[node].module.split(".")[0] for node in finding.nodes):
        if part and len(odd) == 1 and part not in makers and not any(names(part, name) for name in whole):
            (dtype,) = odd
            yield Proposal("component", f"cast component {part} to {short(dtype)}", {"set": {part: dtype}})


def stored(casts: Mapping[str, str]) -> Proposal:
    """The cast of stored tensors, each to a dtype, once after loading."""
    return Proposal("stored", f"cast {_listed(casts, 'to')} once after loading", {"set": dict(casts)})


def given(casts: Mapping[str, str]) -> Proposal:
    """Inputs in other dtypes."""
    return Proposal(
        "input", f"give input{'s' * (len(casts) > 1)} {_listed(casts, 'in')}", {"input_dtypes": dict(casts)}
    )


def _listed(casts: Mapping[str, str], word: str) -> str:
    """The first names of each dtype, and how many more there are."""
    by_dtype: dict[str, list[str]] = {}
    for name, dtype in casts.items():
        by_dtype.setdefault(dtype, []).append(name)
    parts = []
    for dtype, these in by_dtype.items():
        more = f" and {len(these) - _NAMED} more" if len(these) > _NAMED else ""
        parts.append(f"{', '.join(these[:_NAMED])}{more} {word} {short(dtype)}")
    return "; ".join(parts)


def _autocast(flow: Flow, wanted: str) -> Iterator[Proposal]:
    """Autocast where there is none, around forward and around all that is run; else the one there is around that."""
    plan = flow.plan
    if plan.autocast is None and wanted in AUTOCAST_DTYPES:
        name = f"{plan.device}:{wanted}"
        yield Proposal("autocast", f"run forward under autocast {name}", {"autocast": name})
        yield Proposal("autocast", f"autocast {name} around the whole run", {"autocast": name, "scope": "run"})
    elif plan.autocast is not None and plan.scope == "forward":
        yield Proposal("autocast", f"autocast {plan.autocast} around the whole run", {"scope": "run"})
