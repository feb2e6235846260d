"""Proposes the smallest change that clears an error, and proves it by capturing the model again under it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from torch import nn

from analyzer.capture import Loaded
from analyzer.capture.run import capture
from analyzer.dtypes import short
from analyzer.errors import AnalyzerError
from analyzer.findings import Finding, Fix, Origin
from analyzer.graph import Spec, causes
from analyzer.propagate import Flow, Plan

TRIED: Final = 4
"""How many proposals are put to the proof in one run."""


def prove(loaded: Loaded, plan: Plan, flow: Flow, findings: Sequence[Finding]) -> list[Finding]:
    """The findings, each error with the cast of a stored tensor that clears it, where there is one.

    A fix is `proved` if a second capture, with that one tensor in the other dtype, no longer refuses the call at
    the finding's source line. It costs one capture a distinct proposal, of which at most TRIED are run.
    """
    proofs: dict[tuple[str, str], Fix | None] = {}
    mended = []
    for finding in findings:
        fixes = []
        for origin, dtype in _proposals(flow, finding):
            key = (origin.name, dtype)
            if key not in proofs and len(proofs) < TRIED:
                proofs[key] = _try(loaded, plan, origin, dtype, finding)
            fix = proofs.get(key)
            if fix is not None:
                fixes.append(fix)
        mended.append(replace(finding, fixes=tuple(fixes)))
    return mended


def _proposals(flow: Flow, finding: Finding) -> Iterator[tuple[Origin, str]]:
    if finding.severity != "error":
        return
    wanted = flow.graph[finding.nodes[0]].repair
    for operand in finding.operands:
        for origin in operand.origins:
            if operand.dtype != wanted and wanted and origin.kind in ("parameter", "buffer", "input"):
                yield origin, wanted


def _try(loaded: Loaded, plan: Plan, origin: Origin, dtype: str, finding: Finding) -> Fix | None:
    with _in_dtype(loaded, origin, dtype) as (changed, cost):
        if changed is None:
            return None
        try:
            graph = capture(changed, plan).graph
        except AnalyzerError:
            return None
    refused = causes(node for node in graph if node.refused)
    cleared = all(
        (n.place.file, n.place.line, n.module) != (finding.file, finding.line, finding.module) for n in refused
    )
    when = "before the call" if origin.kind == "input" else "once after loading"
    return Fix(f"cast {origin.kind} {origin.name} to {short(dtype)} {when}", cleared, len(refused), cost)


@contextmanager
def _in_dtype(loaded: Loaded, origin: Origin, dtype: str) -> Iterator[tuple[Loaded | None, int]]:
    """The model with one stored tensor in another dtype, and the bytes that this adds; undone afterwards."""
    target = getattr(torch, dtype)
    if origin.kind == "input":
        yield replace(loaded, inputs=_cast_input(loaded.inputs, origin.name.split("."), target)), 0
        return
    holder, key = _holder(loaded.module, origin)
    if holder is None:
        yield None, 0
        return
    old = holder[key]
    new = old.detach().to(target)
    holder[key] = nn.Parameter(new, old.requires_grad) if origin.kind == "parameter" else new
    shape = tuple(old.shape)
    try:
        yield loaded, Spec(dtype, shape).bytes - Spec(origin.dtype, shape).bytes
    finally:
        holder[key] = old


def _holder(module: nn.Module, origin: Origin) -> tuple[dict[str, Any] | None, str]:
    path, _, key = origin.name.rpartition(".")
    try:
        owner = module.get_submodule(path)
    except AttributeError:
        return None, key
    holder: dict[str, Any] = owner._parameters if origin.kind == "parameter" else owner._buffers
    return (holder, key) if holder.get(key) is not None else (None, key)


def _cast_input(value: Any, path: list[str], dtype: torch.dtype) -> Any:
    if not path:
        return value.to(dtype) if isinstance(value, torch.Tensor) else value
    if isinstance(value, dict):
        return {k: _cast_input(v, path[1:], dtype) if str(k) == path[0] else v for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_cast_input(v, path[1:], dtype) if str(i) == path[0] else v for i, v in enumerate(value)])
    return value
