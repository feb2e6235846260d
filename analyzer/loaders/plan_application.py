"""Applies to a loaded model what a plan does after loading: `model.to(...)` and dtypes set by name."""

from __future__ import annotations

import re
import sys
import warnings

import torch
from torch import nn

from analyzer.errors import AnalyzerError, NoMatch, did_you_mean
from analyzer.ir.plan import Plan, Training, names
from analyzer.ir.reason import UNKNOWN, Reason
from analyzer.loaders.building import retype
from analyzer.loaders.versions.installed import installed


def apply_plan(model: nn.Module, plan: Plan, reasons: dict[str, Reason]) -> dict[str, Reason]:
    """Cast in place as `plan.to` and then `plan.set` say; the reasons with the casts noted."""
    reasons = dict(reasons)
    if plan.to is not None:
        kept = _kept_wide(model, getattr(torch, plan.to))
        for name, tensor in _floats(model).items():
            if tensor.dtype != getattr(torch, plan.to):
                reasons[name] = _cast(plan.to, tensor.dtype, reasons.get(name, UNKNOWN).kept_by or kept.get(name, ""))
        with warnings.catch_warnings():  # "Casting complex values to real discards the imaginary part": DT405 tells it
            warnings.simplefilter("ignore", UserWarning)
            model.to(getattr(torch, plan.to))
    for pattern, dtype in plan.set.items():
        for name in _matching(model, pattern):
            retype(model, name, getattr(torch, dtype))
            reasons[name] = Reason(f"set to {dtype} by the plan ({pattern})", "set_by_plan")
    if plan.train and plan.training is not None and plan.training.checkpointing:
        _checkpoint(model, plan.training)
    return reasons


def _cast(to: str, before: torch.dtype, kept_by: str) -> Reason:
    """The reason of what `model.to(...)` cast; a narrowed tensor says from what."""
    narrowed = torch.finfo(before).bits > torch.finfo(getattr(torch, to)).bits or before.is_complex
    was = str(before).removeprefix("torch.") if narrowed else ""
    return Reason(f"cast by model.to({to})", "cast_by_plan", kept_by, was)


def _kept_wide(model: nn.Module, dtype: torch.dtype) -> dict[str, str]:
    """Names that a list of the model's class keeps in float32 beside this dtype -> that list."""
    base = getattr(sys.modules.get("transformers.modeling_utils"), "PreTrainedModel", None)
    lists = installed.kept_wide(model, dtype) if base is not None and isinstance(model, base) else {}
    return {name: by for name in _floats(model) for pattern, by in lists.items() if re.search(pattern, name)}


def _checkpoint(model: nn.Module, training: Training) -> None:
    """As `Trainer.train` does before its first step."""
    kwargs = None if training.reentrant is None else {"use_reentrant": training.reentrant}
    enable = getattr(model, "activation_checkpointing_enable", None) or getattr(
        model, "gradient_checkpointing_enable", None
    )
    try:
        if enable is None:
            raise ValueError(f"{type(model).__name__} has no gradient_checkpointing_enable.")
        enable(kwargs)
    except ValueError as error:  # what transformers says of a model without support
        raise AnalyzerError(
            str(error), hint="the Trainer stops here too: set gradient_checkpointing to false"
        ) from error


def _matching(model: nn.Module, pattern: str) -> list[str]:
    floats = _floats(model)
    known = {name: {name, _without_adapter(name)} for name in floats}
    found = [n for n in floats if any(names(pattern, one) for one in known[n])] or ([*floats] if not pattern else [])
    if not found:
        raise NoMatch(f"'{pattern}' matches no parameter, buffer or module", hint=_suggestion(model, pattern))
    return found


def _suggestion(model: nn.Module, pattern: str) -> str:
    """The name that was meant: one spelt alike, else a part whose class is called so, else what parts there are.

    People write a component's name from another model: the `vision_encoder` of one is another's `vpm`, which is a
    `VisionTransformer`.
    """
    known = {one for name in _floats(model) for one in (name, _without_adapter(name))}
    paths = {".".join(n.split(".")[:depth]) for n in known for depth in range(1, n.count(".") + 2)}
    if alike := did_you_mean(pattern, paths):
        return alike
    wanted = set(re.findall(r"[a-z]+", pattern.lower()))
    named = {path: _words(type(part).__name__) & wanted for path, part in model.named_modules() if path in paths}
    best = max(named, key=lambda path: (len(named[path]), -path.count("."), path), default="")
    if best and named[best]:
        return f"did you mean '{best}', a {type(model.get_submodule(best)).__name__}?"
    return f"there is {', '.join(name for name, part in model.named_children() if any(_floats(part)))}"


def _words(camel: str) -> set[str]:
    """The words of a class name, small.

    >>> sorted(_words("VisionTransformer"))
    ['transformer', 'vision']
    """
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", camel)}


def _without_adapter(name: str) -> str:
    """The name of a tensor before PEFT wrapped the model and its layers, so that patterns outlive an adapter."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", ".")


def _floats(model: nn.Module) -> dict[str, torch.Tensor]:
    everything = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    return {name: t for name, t in everything if t.is_floating_point() or t.is_complex()}
