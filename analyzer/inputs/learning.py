"""Captures a model whose inputs were made up, and learns from its own errors until they fit, or nothing helps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import torch

from analyzer.capture import Captured, Loaded
from analyzer.errors import AnalyzerError, Interrupted
from analyzer.inputs import planned, told
from analyzer.inputs.calls.calling import driver_of, drivers
from analyzer.inputs.facts import Facts
from analyzer.inputs.lessons import changes
from analyzer.inputs.makers import choose
from analyzer.inputs.modalities import modality_of
from analyzer.ir.findings import Assumption
from analyzer.ir.flow import Flow
from analyzer.ir.graph import STOPPED
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture

ROUNDS: Final = 12
"""How many changes are made at most, one after the other."""
CHANGES: Final = 12
"""How many are looked at for one error."""
TRIES: Final = 24
"""How many captures are spent on them in all."""
OPERATIONS: Final = 80_000
"""How many operations all of these captures may have together, more or less: a model that is large is tried less."""

_BESIDE: Final = ("pixel", "image", "video", "audio", "feature_")
"""Beginnings of names of what belongs to an image, a clip or a sound."""
LONGEST: Final = 1 << 16
"""Tokens; a mask over more of them has more than 4 G elements."""


def learned(loaded: Loaded, plan: Plan) -> tuple[Loaded, Captured]:
    """The model with inputs that it runs on to its end, or as far as any, and its capture.

    Inputs that a person gave stay as they are; labels that were made up and do not fit are changed as others are,
    before they are left out. A run that is told to end ends all of this: what got furthest counts. Raises what
    `capture` raises.
    """
    runs = _Runs(plan)
    try:
        taught, captured = _learned(loaded, plan, runs)
        if captured.stop is not None and loaded.invented:
            mended = capture(taught, plan).uninterrupted()
            captured = captured if _blames_inputs(mended, plan) else mended
        return taught, _told(captured, loaded, taught)
    except Interrupted:
        if runs.furthest is None:
            raise
        return runs.furthest


def _told(captured: Captured, before: Loaded, taught: Loaded) -> Captured:
    """The capture with the assumptions on inputs as they became."""
    old = {*before.assumptions} - {*taught.assumptions}
    kept = {one for one in captured.coverage.assumptions if one not in old}
    return replace(
        captured, coverage=replace(captured.coverage, assumptions=tuple(sorted(kept | {*taught.assumptions})))
    )


def _blames_inputs(captured: Captured, plan: Plan) -> bool:
    """Whether a call was refused for the kind of an input alone, which was made up."""
    flow = Flow.as_captured(captured.graph, plan)
    refused = [node for node in captured.graph.ops() if node.refused and (node.odd or not node.repair)]
    odd = [ref for node in refused for ref in flow.odd(node.id) or node.operands()]
    return any(all(origin.kind == "input" for origin in flow.origins(ref)) for ref in odd)


class _Runs:
    """Captures a model again and again under one plan, and remembers which run got furthest."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.furthest: tuple[Loaded, Captured] | None = None

    def __call__(self, loaded: Loaded) -> Captured:
        captured = capture(loaded, self._plan, guessing=bool(loaded.invented))
        if self.furthest is None or captured.coverage.ops >= self.furthest[1].coverage.ops:
            self.furthest = loaded, captured
        return captured.uninterrupted()


def _learned(loaded: Loaded, plan: Plan, runs: _Runs) -> tuple[Loaded, Captured]:
    if loaded.spare and loaded.invented:
        labelled = replace(loaded, spare=())
        captured = runs(labelled)
        if captured.stop is None:
            return loaded, captured
        taught, captured = _climb(labelled, captured, plan, runs)
        if captured.stop is None and all(name in taught.inputs for name in loaded.spare):
            return _noted(replace(taught, spare=loaded.spare)), captured
    captured = runs(loaded)
    if captured.stop is None or not loaded.invented:
        return loaded, captured
    best = _climb(loaded, captured, plan, runs)
    others = (_other(loaded, plan, name) for name in drivers(loaded.module) if name != driver_of(loaded.run))
    for less in (_usual(loaded, plan), _text_alone(loaded), *others):
        if best[1].stop is not None and less is not None:
            tried = _climb(less, runs(less), plan, runs)
            best = tried if tried[1].stop is None else best
    return (_noted(best[0]), best[1]) if best[0] is not loaded else best


def _climb(loaded: Loaded, captured: Captured, plan: Plan, runs: _Runs) -> tuple[Loaded, Captured]:
    """Take the first change after which the run gets further, else the first that it stops at differently; go on."""
    facts = _facts(loaded)
    seen, tries, spent = {_key(loaded.inputs)}, 0, 0
    for _ in range(ROUNDS):
        if captured.stop is None:
            break
        sideways: tuple[Loaded, Captured] | None = None
        for inputs in islice(_others(captured.stop.cause, facts, loaded.inputs, seen), CHANGES):
            if tries >= TRIES or spent > OPERATIONS:
                continue
            tries += 1
            try:
                other = replace(loaded, inputs=planned(inputs, plan))
                again = runs(other)
                spent += again.coverage.ops
            except AnalyzerError:
                continue
            if _is_further(again, captured):
                loaded, captured = other, again
                break
            if sideways is None and _is_beside(again, captured):
                sideways = other, again
        else:
            if sideways is None:
                break
            loaded, captured = sideways
    return loaded, captured


def _others(error: Exception, facts: Facts, inputs: dict[str, object], seen: set[str]) -> Iterator[dict[str, object]]:
    """The inputs with each change that the lessons propose, those that were not seen yet and are not absurdly long.

    A model that counts the elements of its image features, and not the features, asks for a million tokens.
    """
    for change in changes(error, facts, inputs):
        made = {k: v for k, v in {**inputs, **change}.items() if v is not None}
        if _key(made) not in seen and not any(map(_endless, change.values())):
            seen.add(_key(made))
            yield made


def _endless(value: Any) -> bool:
    whole = isinstance(value, torch.Tensor) and not value.is_floating_point()
    return whole and max(value.shape, default=0) > LONGEST


def _is_further(one: Captured, other: Captured) -> bool:
    """Whether a run ends, or gets to more source lines of modules."""
    return one.stop is None or _lines(one) > _lines(other)


def _is_beside(one: Captured, other: Captured) -> bool:
    """Whether a run that gets as far stops at another line, or with another complaint."""
    places = [(c.stop.place, _shape(c.stop.words)) for c in (one, other) if c.stop]
    return _lines(one) == _lines(other) and places[0] != places[-1]


def _lines(captured: Captured) -> int:
    return len({(node.module, node.place) for node in captured.graph if node.op != STOPPED})


def _shape(words: str) -> str:
    return "".join(letter for letter in words if not letter.isdigit())


def _facts(loaded: Loaded) -> Facts:
    config, dtype = getattr(loaded.module, "config", None), getattr(torch, loaded.invented)
    return Facts(
        loaded.module, config, dtype, loaded.processed, "text" if loaded.text_only else "all", driver_of(loaded.run)
    )


def _usual(loaded: Loaded, plan: Plan) -> Loaded | None:
    """The same without what the folder's processor gave and what stands beside a text only perhaps."""
    if loaded.text_only:
        return None
    try:
        values = planned(choose(replace(_facts(loaded), processed={}, feed="usual")), plan)
    except AnalyzerError:  # a dtype that the plan gives to what is now left out
        return None
    labels = {name: loaded.inputs[name] for name in loaded.spare if name in loaded.inputs}
    if any(value is None for value in values.values()) or _key({**values, **labels}) == _key(loaded.inputs):
        return None
    return _without(loaded, {**values, **labels}, "as what was made up for it does not fit")


def _other(loaded: Loaded, plan: Plan, name: str) -> Loaded | None:
    """The same with another method that people call of the class, where its arguments can be made up."""
    facts = replace(_facts(loaded), driver=name)
    try:
        values = planned(choose(facts), plan)
    except AnalyzerError:  # a dtype that the plan gives to what this method does not take
        return None
    if any(value is None for value in values.values()):
        return None
    note = Assumption("what is called", f"{name}, as {driver_of(loaded.run)} does not run to its end on made-up inputs")
    return replace(loaded, inputs=values, run=facts.call.run, spare=(), assumptions=(*loaded.assumptions, note))


def _text_alone(loaded: Loaded) -> Loaded | None:
    """The same without images and sound, where there is a text beside them."""
    others = [name for name in loaded.inputs if modality_of(name) or name.startswith(_BESIDE)]
    if "input_ids" not in loaded.inputs or not others:
        return None
    inputs = {name: value for name, value in loaded.inputs.items() if name not in others}
    return _without(loaded, inputs, "text alone, as what was made up for them does not fit")


def _without(loaded: Loaded, inputs: dict[str, Any], why: str) -> Loaded:
    """With these inputs, and a word on those that are left out."""
    left = [name for name in loaded.inputs if name not in inputs]
    notes = [Assumption("input " + ", ".join(left), f"none: {why}", kind="absent_input")] if left else []
    return replace(loaded, inputs=inputs, assumptions=(*loaded.assumptions, *notes))


def _noted(loaded: Loaded) -> Loaded:
    """With the assumptions on inputs as they became."""
    made = {note.what: note for note in (told(name, value) for name, value in loaded.inputs.items())}
    kept = [note for note in loaded.assumptions if note.kind != "input"]
    return replace(loaded, assumptions=(*kept, *made.values()))


def _key(inputs: dict[str, object]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(inputs.items()):
        known = value.tolist() if isinstance(value, torch.Tensor) and not value.is_floating_point() else ""
        shape = (tuple(value.shape), str(value.dtype)) if isinstance(value, torch.Tensor) else value
        digest.update(f"{name} {shape} {known}\n".encode())
    return digest.hexdigest()
