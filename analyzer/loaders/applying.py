"""Applies to a loaded model what a plan does after loading: `model.to(...)` and dtypes set by name."""

from __future__ import annotations

from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from analyzer.errors import AnalyzerError
from analyzer.loaders.building import retype
from analyzer.plan import Plan


def apply_plan(model: nn.Module, plan: Plan, reasons: dict[str, str]) -> dict[str, str]:
    """Cast in place as `plan.to` and then `plan.set` say; the reasons with the casts noted."""
    reasons = dict(reasons)
    if plan.to is not None:
        for name, tensor in _floats(model).items():
            if tensor.dtype != getattr(torch, plan.to):
                reasons[name] = f"cast by model.to({plan.to})"
        model.to(getattr(torch, plan.to))
    for pattern, dtype in plan.set.items():
        for name in _matching(model, pattern):
            retype(model, name, getattr(torch, dtype))
            reasons[name] = f"set to {dtype} by the plan ({pattern})"
    return reasons


def suggest(word: str, known: Any) -> str:
    """A hint with the closest of the known words."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.7)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there is {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}" if known else ""


def _matching(model: nn.Module, pattern: str) -> list[str]:
    floats = _floats(model)
    known = {name: {name, _without_adapter(name)} for name in floats}
    names = [n for n in floats if any(fnmatchcase(k, p) for k in known[n] for p in (pattern, f"{pattern}.*"))] or (
        [*floats] if not pattern else []
    )
    if not names:
        every = {name for both in known.values() for name in both}
        paths = {".".join(n.split(".")[:depth]) for n in every for depth in range(1, n.count(".") + 2)}
        raise AnalyzerError(f"'{pattern}' matches no parameter, buffer or module", hint=suggest(pattern, paths))
    return names


def _without_adapter(name: str) -> str:
    """The name of a tensor before PEFT wrapped the model and its layers, so that patterns outlive an adapter."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", ".")


def _floats(model: nn.Module) -> dict[str, torch.Tensor]:
    everything = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    return {name: t for name, t in everything if t.is_floating_point() or t.is_complex()}
