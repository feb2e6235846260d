"""Proposes the smallest change that clears an error, and proves it by a second capture and by real runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from torch import nn

from analyzer import rules
from analyzer.capture import Captured, Loaded
from analyzer.errors import AnalyzerError
from analyzer.fixes.real.bench import Bench, Model, recast
from analyzer.fixes.real.sources import Source
from analyzer.fixes.search import odd_origins
from analyzer.fixes.trial import other_outputs, warned
from analyzer.fixes.value_effects import of_origins
from analyzer.fixes.writes import lost, reached
from analyzer.ir import walk
from analyzer.ir.dtypes import keeping, short
from analyzer.ir.findings import Finding, Fix, Origin
from analyzer.ir.fixes.proof import STILL_FAILS, RealRun
from analyzer.ir.flow import Flow
from analyzer.ir.graph import Spec, causes, in_any_layer
from analyzer.ir.plan import Plan
from analyzer.propagate import propagate
from analyzer.running.forward import capture
from analyzer.running.real_runs.real_run import copied

TRIED: Final = 4
"""How many proposals are put to the proof in one run."""
SINGLES: Final = 2
"""How many tensors of a finding's first place are tried alone."""
NAMED: Final = 4
"""How many name patterns a fix of several tensors spells out."""


def prove(
    loaded: Loaded, plan: Plan, captured: Captured, flow: Flow, findings: Sequence[Finding], source: Source
) -> list[Finding]:
    """The findings, each error with the cast of stored tensors that clears it, where there is one.

    One tensor is tried before all that the finding comes from. A fix is `cleared` if a second capture, with these
    tensors in the other dtype, gets as far as the first, loses no write, and refuses no call at any of the finding's
    places, and none elsewhere that was taken before; it is `proved` if the model that is really run mends by it too. It
    costs one capture a distinct proposal, of which at most TRIED are run, and a real run of those that are cleared.
    """
    proofs: dict[tuple[tuple[Origin, ...], str], Fix | None] = {}
    bench = Bench(flow, plan, source)
    mended = []
    for finding in findings:
        tried: list[Fix] = []
        for origins, dtype in _proposals(flow, finding):
            key = (origins, dtype)
            if key not in proofs and len(proofs) < TRIED:
                proofs[key] = _try(loaded, plan, captured, flow, origins, dtype, finding, findings)
                if (fix := proofs[key]) is not None and fix.cleared:
                    real = _really(bench, finding, origins, dtype)
                    proofs[key] = replace(fix, real=real, proved=real.kind == "mends" and not fix.new_warnings)
            if (tried_now := proofs.get(key)) is not None:
                tried.append(tried_now)
                if tried_now.cleared and tried_now.real.kind != "fails":
                    break
        mended.append(replace(finding, fixes=_best(tried)))
    return mended


def _best(fixes: Sequence[Fix]) -> tuple[Fix, ...]:
    """Those that are proved, else those that are cleared in the trace, else all that were tried."""
    proved = tuple(fix for fix in fixes if fix.proved)
    return proved or tuple(fix for fix in fixes if fix.cleared) or tuple(fixes)


def _really(bench: Bench, finding: Finding, origins: tuple[Origin, ...], dtype: str) -> RealRun:
    """What the real run says of a cast."""

    def changed(model: Model) -> Model:
        named = [replace(origin, name=bench.source.named(origin.name)) for origin in origins]
        return recast(model, _cast(copied(model.loaded), named, dtype))

    return bench.judge(changed, clears=False, finding=finding) or STILL_FAILS


def _cast(loaded: Loaded, origins: Sequence[Origin], dtype: str) -> Loaded:
    """A real model with these tensors cast for good; in a shrunk one, those that it has."""
    found = False
    for origin in origins:
        wanted = getattr(torch, keeping(origin.dtype, dtype))
        if origin.kind == "input":
            loaded, found = replace(loaded, inputs=_cast_input(loaded.inputs, origin.name, wanted)), True
            continue
        holder, key = _holder(loaded.module, origin)
        if holder is not None:
            holder[key] = _recast(holder[key], wanted, origin)
            found = True
    if not found:
        raise AnalyzerError("the model that is really run has none of these tensors")
    return loaded


def _proposals(flow: Flow, finding: Finding) -> Iterator[tuple[tuple[Origin, ...], str]]:
    if finding.severity != "error" or finding.tensors:
        return
    wanted = flow.graph[finding.nodes[0]].repair
    if not wanted:
        return
    odd = [dict.fromkeys(odd_origins(flow, node, wanted)) for node in finding.nodes]
    by_place = [[origin for origin in origins if origin.dtype != keeping(origin.dtype, wanted)] for origins in odd]
    for origin in by_place[0][:SINGLES]:
        yield (origin,), wanted
    every = tuple(dict.fromkeys(origin for place in by_place for origin in place))
    if len(every) > 1:
        yield every, wanted


def _try(
    loaded: Loaded, plan: Plan, captured: Captured, flow: Flow, origins: tuple[Origin, ...], dtype: str,
    finding: Finding, findings: Sequence[Finding],
) -> Fix | None:  # fmt: skip
    cost = 0
    with ExitStack() as stack:
        changed: Loaded | None = loaded
        for origin in origins:
            if changed is not None:
                changed, extra = stack.enter_context(_in_dtype(changed, origin, keeping(origin.dtype, dtype)))
                cost += extra
        if changed is None:
            return None
        try:
            again = capture(changed, plan).uninterrupted()
        except AnalyzerError:
            return None
    graph = again.graph
    if not graph.reaches_as_far_as(flow.graph) or lost(reached(captured), reached(again)):
        return None
    refused = causes(node for node in graph if node.refused)
    places = {(flow.graph[n].place, flow.graph[n].module) for n in finding.nodes}
    before = {(flow.graph[n].place, flow.graph[n].module) for n in flow.refusals}
    fresh = any((node.place, node.module) not in before for node in refused)  # the fault has only moved
    cleared = not fresh and not any((node.place, node.module) in places for node in refused)
    fix = Fix(_what(origins, dtype), False, len(refused), cost, cleared, values=of_origins(origins, dtype))
    if not cleared:
        return fix
    new = propagate(graph, plan, inventory=loaded.inventory)
    fresh_warnings = warned(rules.check(new)) - warned(findings)
    return replace(fix, new_warnings=len(fresh_warnings), outputs=other_outputs(flow, new))


def _what(origins: tuple[Origin, ...], dtype: str) -> str:
    when = "before the call" if all(origin.kind == "input" for origin in origins) else "once after loading"
    if len(origins) == 1:
        return f"cast {origins[0].kind} {origins[0].name} to {short(keeping(origins[0].dtype, dtype))} {when}"
    patterns = dict.fromkeys(in_any_layer(origin.name) for origin in origins)
    named = list(patterns)[:NAMED]
    more = f" and {len(patterns) - NAMED} more" if len(patterns) > NAMED else ""
    dtypes = " and ".join(dict.fromkeys(short(keeping(origin.dtype, dtype)) for origin in origins))
    return f"cast {len(origins)} tensors ({', '.join(named)}{more}) to {dtypes} {when}"


@contextmanager
def _in_dtype(loaded: Loaded, origin: Origin, dtype: str) -> Iterator[tuple[Loaded | None, int]]:
    """The model with one stored tensor in another dtype, and the bytes that this adds; undone afterwards."""
    target = getattr(torch, dtype)
    if origin.kind == "input":
        yield replace(loaded, inputs=_cast_input(loaded.inputs, origin.name, target)), 0
        return
    holder, key = _holder(loaded.module, origin)
    if holder is None:
        yield None, 0
        return
    old = holder[key]
    holder[key] = _recast(old, target, origin)
    shape = tuple(old.shape)
    try:
        yield loaded, Spec(dtype, shape).bytes - Spec(origin.dtype, shape).bytes
    finally:
        holder[key] = old


def _recast(old: torch.Tensor, dtype: torch.dtype, origin: Origin) -> torch.Tensor:
    """A stored tensor in another dtype; a parameter stays one."""
    new = old.detach().to(dtype)
    trained = old.requires_grad and (dtype.is_floating_point or dtype.is_complex)
    return nn.Parameter(new, trained) if origin.kind == "parameter" else new


def _holder(module: nn.Module, origin: Origin) -> tuple[dict[str, Any] | None, str]:
    path, _, key = origin.name.rpartition(".")
    try:
        owner = module.get_submodule(path)
    except AttributeError:
        return None, key
    holder: dict[str, Any] = owner._parameters if origin.kind == "parameter" else owner._buffers
    return (holder, key) if holder.get(key) is not None else (None, key)


def _cast_input(inputs: object, name: str, dtype: torch.dtype) -> Any:
    def cast(tensor: torch.Tensor, path: walk.Path) -> torch.Tensor:
        return tensor.to(dtype) if ".".join(map(str, path)) == name else tensor

    return walk.changed_with_path(inputs, torch.Tensor, cast)
