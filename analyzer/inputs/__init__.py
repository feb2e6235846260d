"""Makes small inputs that a model's forward accepts, from its config, its signature and its processors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from torch import nn

from analyzer.errors import AnalyzerError, suggest
from analyzer.inputs.calls.calling import Run, drivers
from analyzer.inputs.facts import Facts
from analyzer.inputs.labels import make_labels
from analyzer.inputs.makers import choose
from analyzer.inputs.templates import template
from analyzer.inputs.token_ids import set_tokens
from analyzer.inputs.video_sessions import session
from analyzer.ir import walk
from analyzer.ir.findings import Assumption
from analyzer.ir.plan import Plan

DEFAULT_NAME: Final = "analyze_inputs.py"
"""The inputs file that is used when it lies in the model folder and none is named."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Keyword arguments of forward, how to run them, and what was invented for them."""

    values: dict[str, Any] = field(default_factory=dict)
    run: Run | None = None
    assumptions: tuple[Assumption, ...] = ()
    spare: tuple[str, ...] = ()
    """Names of values that were made for a loss, which the model may turn out not to take."""
    invented: bool = False
    """Whether they were made up, so that others may be tried."""
    tokens: int = 0
    """How many tokens a text has that was made up."""
    longest: int = 0
    """How many tokens the config allows a text at most."""
    processed: Mapping[str, Any] = field(default_factory=dict)
    """What the folder's own processor gave, in its own dtypes."""
    text_only: bool = False
    """Whether a person wants a text and nothing beside it."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is known of the inputs before they are made up."""

    notes: tuple[Assumption, ...] = ()
    """What is assumed already."""
    processed: Mapping[str, Any] = field(default_factory=dict)
    """What the folder's own processor gives."""
    text_only: bool = False


def made_up(model: nn.Module, config: object, plan: Plan, dtype: str, wishes: Wishes | None = None) -> Inputs:
    """Inputs that are made up, float ones in `dtype` unless the plan says."""
    wishes = wishes or Wishes()
    facts = Facts(model, config, getattr(torch, dtype), wishes.processed, "text" if wishes.text_only else "all")
    opened = set_tokens(facts)
    values, run = session(facts) or ({}, None)
    if not values:
        facts, values = _made(facts)
        run = facts.call.run
    notes = [
        *wishes.notes,
        *opened,
        *(told(name, value) for name, value in values.items() if name not in plan.input_dtypes),
    ]
    if "pixel_values" in facts.names and "pixel_values" not in values:
        why = "--only text" if wishes.text_only else "an inputs file can give an image"
        notes.append(Assumption.of_input("pixel_values", f"none: text alone ({why})"))
    made = Inputs(
        values, run, tuple(notes), invented=True, tokens=facts.length, longest=facts.longest,
        processed=wishes.processed, text_only=wishes.text_only,
    )  # fmt: skip
    return _with_labels(made, facts, plan)


def given(
    model: nn.Module, config: object, plan: Plan, dtype: str, values: dict[str, object], run: Run | None
) -> Inputs:
    """Inputs that a person gave, in the dtypes of the plan, with labels where a loss needs them."""
    return _with_labels(Inputs(values, run), Facts(model, config, getattr(torch, dtype)), plan)


def _with_labels(inputs: Inputs, facts: Facts, plan: Plan) -> Inputs:
    spare: dict[str, Any] = {}
    if plan.train and inputs.run is None:
        spare = make_labels(facts.model, facts.config, facts.signature, inputs.values, facts.dtype)
    notes = (*inputs.assumptions, *(told(name, value) for name, value in spare.items()))
    return replace(inputs, values=planned({**inputs.values, **spare}, plan), assumptions=notes, spare=tuple(spare))


def told(name: str, value: object) -> Assumption:
    """What was made up, for the report."""
    return Assumption.of_input(name, _shown(value))


def planned(values: dict[str, object], plan: Plan) -> dict[str, object]:
    """Inputs in the dtypes that the plan gives them."""
    if plan.inputs_to is not None:
        values = cast_floats(values, getattr(torch, plan.inputs_to))
    return override(values, plan.input_dtypes)


def cast_floats(value: object, dtype: torch.dtype) -> Any:
    """Every float of the inputs in this dtype, as `Trainer._prepare_input` does under DeepSpeed."""

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() or tensor.is_complex() else tensor

    return walk.changed(value, torch.Tensor, cast, exact=True)


def _made(facts: Facts) -> tuple[Facts, dict[str, Any]]:
    """Arguments of the first method that people call of which all can be made up, or else of the first."""
    for name in drivers(facts.model):
        other = replace(facts, driver=name)
        values = choose(other)
        if all(value is not None for value in values.values()):
            return other, values
    return facts, _invent(facts)


def _invent(facts: Facts) -> dict[str, Any]:
    values = choose(facts)
    if unknown := next((name for name, value in values.items() if value is None), None):
        raise AnalyzerError(
            f"cannot make up the argument '{unknown}' of {type(facts.model).__name__}.{facts.call.method}",
            hint=f"write a file {DEFAULT_NAME}: {template(facts, values)}, and pass it with --inputs {DEFAULT_NAME}",
        )
    return values


def _shown(value: object) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value))
    return str(value) if isinstance(value, (str, int, float, tuple)) else type(value).__name__


def override(values: dict[str, object], dtypes: dict[str, str]) -> dict[str, Any]:
    """The inputs with the dtypes that a plan sets by name. Raises AnalyzerError for a name that is none."""
    names: set[str] = set()

    def cast(tensor: torch.Tensor, path: walk.Path) -> torch.Tensor:
        name = ".".join(part for part in path if isinstance(part, str))  # what is in a list goes by the list's name
        names.add(name)
        hit = next((d for key, d in dtypes.items() if name == key or name.startswith(f"{key}.")), None)
        return tensor.to(getattr(torch, hit)) if hit else tensor

    changed: dict[str, Any] = walk.changed_with_path(values, torch.Tensor, cast, exact=True)
    for key in dtypes:
        if not any(name == key or name.startswith(f"{key}.") for name in names):
            raise AnalyzerError(f"the model has no input '{key}' to set a dtype for", hint=suggest(key, names))
    return changed
