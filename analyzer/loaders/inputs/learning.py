"""Captures a model whose inputs were made up, and learns from its own errors until they fit, or nothing helps."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any, Final

import torch

from analyzer.capture import Captured, Loaded
from analyzer.capture.run import capture
from analyzer.errors import AnalyzerError
from analyzer.findings import Assumption
from analyzer.loaders.inputs import planned, told
from analyzer.loaders.inputs.facts import Facts
from analyzer.loaders.inputs.lessons import changes
from analyzer.loaders.inputs.makers import IMAGE, SOUND
from analyzer.plan import Plan

ROUNDS: Final = 12
"""How many changes are made at most, one after the other."""
TRIES: Final = 16
"""How many captures are spent on them in all."""


def learned(loaded: Loaded, plan: Plan) -> tuple[Loaded, Captured]:
    """The model with inputs that it runs on to its end, or as far as any, and its capture.

    Inputs that a person gave stay as they are. Raises what `capture` raises.
    """
    captured = capture(loaded, plan)
    if captured.stop is None or not loaded.invented:
        return loaded, captured
    best = _climb(loaded, captured, plan)
    if best[1].stop is not None and (alone := _text_alone(loaded)) is not None:
        text = _climb(alone, capture(alone, plan), plan)
        if text[1].stop is None:
            best = text
    return (_noted(best[0]), best[1]) if best[0] is not loaded else best


def _climb(loaded: Loaded, captured: Captured, plan: Plan) -> tuple[Loaded, Captured]:
    """Take the first change after which the run gets further, or stops at another place; again, until none does."""
    facts = Facts(loaded.module, loaded.module.config, getattr(torch, loaded.invented))
    seen, tries = {_key(loaded.inputs)}, 0
    for _ in range(ROUNDS):
        if captured.stop is None:
            break
        for change in changes(captured.stop.error, facts, loaded.inputs):
            inputs = {k: v for k, v in {**loaded.inputs, **change}.items() if v is not None}
            if _key(inputs) in seen or tries >= TRIES:
                continue
            seen.add(_key(inputs))
            tries += 1
            try:
                other = replace(loaded, inputs=planned(inputs, plan))
                again = capture(other, plan)
            except AnalyzerError:
                continue
            if _is_further(again, captured):
                loaded, captured = other, again
                break
        else:
            break
    return loaded, captured


def _is_further(one: Captured, other: Captured) -> bool:
    """Whether a run ends, gets to more source lines, or as far and to another complaint."""
    if one.stop is None or other.stop is None:
        return one.stop is None
    lines, others = _lines(one), _lines(other)
    if lines != others:
        return lines > others
    return (one.stop.place, _shape(one.stop.words)) != (other.stop.place, _shape(other.stop.words))


def _lines(captured: Captured) -> int:
    return len({node.place for node in captured.graph})


def _shape(words: str) -> str:
    return "".join(letter for letter in words if not letter.isdigit())


def _text_alone(loaded: Loaded) -> Loaded | None:
    """The same without images and sound, where there is a text beside them."""
    others = [name for name in loaded.inputs if name.startswith(("pixel", "image", *IMAGE, *SOUND, "feature_"))]
    if "input_ids" not in loaded.inputs or not others:
        return None
    note = Assumption("input " + ", ".join(others), "none: text alone, as what was made up for them does not fit")
    inputs = {name: value for name, value in loaded.inputs.items() if name not in others}
    return replace(loaded, inputs=inputs, assumptions=(*loaded.assumptions, note))


def _noted(loaded: Loaded) -> Loaded:
    """With the assumptions on inputs as they became."""
    made = {note.what: note for note in (told(name, value) for name, value in loaded.inputs.items())}
    kept = [note for note in loaded.assumptions if not (note.what.startswith("input ") and "," not in note.what)]
    return replace(loaded, assumptions=(*kept, *made.values()))


def _key(inputs: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(inputs.items()):
        known = value.tolist() if isinstance(value, torch.Tensor) and not value.is_floating_point() else ""
        shape = (tuple(value.shape), str(value.dtype)) if isinstance(value, torch.Tensor) else value
        digest.update(f"{name} {shape} {known}\n".encode())
    return digest.hexdigest()
