"""Makes the session in which a model follows objects through a video: one frame, and what a person marks in it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import nn

from analyzer.inputs.documented import image_size
from analyzer.inputs.facts import Facts

Run = Callable[[nn.Module, dict[str, Any]], Any]

_TEXT: Final = 32
"""Tokens of a text that says what to look for, as the processors pad it."""
_OBJECT: Final = 1
"""The name of the one object that is marked."""


def session(facts: Facts) -> tuple[dict[str, object], Run] | None:
    """Inputs, and a run that hands them to forward in a new session, streaming; None where forward wants no session.

    A session is found by its annotation: a class with frames, in which objects are marked or described by a text.
    """
    found = [(name, cls) for name in facts.names if facts.is_required(name) and (cls := _session_class(name, facts))]
    if not found:
        return None
    (name, cls), *_ = found
    height, width = image_size(facts)
    frame = torch.zeros((1, 3, height, width), dtype=facts.dtype)
    described = hasattr(cls, "add_prompt")
    values = {"frame": frame, **(_described(facts) if described else _marked(facts, height, width))}

    def run(model: nn.Module, inputs: dict[str, Any]) -> Any:
        made = cls(video_height=height, video_width=width, dtype=inputs["frame"].dtype)
        (_describe if described else _mark)(made, inputs)
        return model(**{name: made}, frame=inputs["frame"])

    return values, run


def _session_class(name: str, facts: Facts) -> Any:
    """The class that annotates an argument, if it is a session."""
    said = facts.signature.parameters[name].annotation
    module = sys.modules.get(type(facts.model).__module__)
    cls = getattr(module, said, None) if isinstance(said, str) else said
    return cls if inspect.isclass(cls) and hasattr(cls, "add_new_frame") else None


def _marked(facts: Facts, height: int, width: int) -> dict[str, object]:
    """A point in the middle of the frame, which is part of the object."""
    point = torch.tensor([[[[width // 2, height // 2]]]], dtype=facts.dtype)
    return {"input_points": point, "input_labels": torch.ones((1, 1, 1), dtype=torch.int32)}


def _mark(made: Any, inputs: dict[str, Any]) -> None:
    points = {"point_coords": inputs["input_points"], "point_labels": inputs["input_labels"]}
    made.add_point_inputs(made.obj_id_to_idx(_OBJECT), 0, points)
    made.obj_with_new_inputs = [_OBJECT]


def _described(facts: Facts) -> dict[str, object]:
    """A few words, padded."""
    ids = torch.zeros((1, _TEXT), dtype=torch.long)
    ids[0, :4] = torch.arange(4) + 10
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def _describe(made: Any, inputs: dict[str, Any]) -> None:
    number = made.add_prompt("something")
    made.prompt_input_ids[number], made.prompt_attention_masks[number] = inputs["input_ids"], inputs["attention_mask"]
