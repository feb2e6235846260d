"""Every lesson, on an error that torch or a model really raises: after the change it does not raise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from analyzer.inputs.facts import Facts
from analyzer.inputs.learning import _is_further, learned
from analyzer.inputs.lessons import LESSONS, changes
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture
from analyzer.running.traceback_frames import frames, read
from tests.inputs.own import Config, loaded_with
from tests.inputs.stopping import (
    Asserts,
    Caching,
    Calls,
    Coded,
    Computes,
    Counts,
    Crosses,
    Gives,
    Hidden,
    Images,
    Indexes,
    Lists,
    Masks,
    Named,
    Places,
    PlacesByKind,
    PlacesByMask,
    Positions,
    Refuses,
    Searches,
    Several,
    Speaks,
    Square,
    Tokens,
    Unnamed,
    Wants,
    Whole,
    three,
)

X = torch.zeros
IDS = X(1, 4).long()
CASES: dict[str, tuple[nn.Module, dict[str, Any]]] = {
    "named": (Named(), {"input_ids": X(1, 16).long()}),
    "guarded by several": (Several(), {"input_values": X(1, 100)}),
    "none": (Unnamed(), {"input_ids": X(1, 16).long()}),
    "tokens": (Tokens(), {"input_ids": IDS, "attention_mask": IDS, "pixel_values": X(1, 3, 4, 4)}),
    "tokens, one for an image": (Whole(), {"input_ids": IDS, "attention_mask": IDS, "pixel_values": X(1, 3, 4, 4)}),
    "sizes": (Calls(lambda x: F.linear(x, X(8, 32))), {"x": X(1, 5, 16)}),
    "sizes of what was made of it": (Calls(lambda x: F.linear(x.repeat(1, 1, 4), X(8, 64))), {"x": X(1, 5, 8)}),
    "sizes of what is left of it": (Calls(lambda x: F.linear(x[..., 2:], X(8, 32))), {"x": X(1, 5, 32)}),
    "viewed": (Calls(lambda x: x.view(-1, 3, 2, 14, 14)), {"x": X(16, 100)}),
    "fewer": (Images(), {"x": X(1, 4, 8), "image_mask": X(1, 16).long()}),
    "multiplied": (Crosses(), {"x": X(1, 4, 8), "states": X(1, 4, 8)}),
    "rows": (Hidden(), {"values": X(1, 100), "values_mask": X(1, 100).long()}),
    "codebooks": (Coded(), {"input_ids": X(1, 5).long()}),
    "channels": (Calls(lambda x: F.conv2d(x, X(8, 1, 3, 3))), {"x": X(1, 4, 16, 16)}),
    "rank of patches that lie flat": (Calls(nn.Conv2d(3, 8, 4)), {"x": X(6, 48)}),
    "channels that come last": (Calls(nn.Conv1d(8, 4, 3)), {"x": X(1, 5, 8)}),
    "booleans": (Masks(), {"x": X(1, 3), "x_mask": X(1, 3).long()}),
    "ones": (Calls(lambda x: torch.arange(6) // int(x.sum())), {"x": X(1, 3).long()}),
    "larger": (Calls(lambda x: F.conv2d(x, X(8, 3, 16, 16))), {"x": X(1, 3, 8, 8)}),
    "rank": (Calls(three), {"x": X(4, 5)}),
    "integers": (Indexes(), {"input_ids": X(1, 3)}),
    "within": (Indexes(), {"input_ids": torch.full((1, 3), 9)}),
    "floats": (Calls(lambda x: F.conv2d(x, X(8, 3, 2, 2), X(8))), {"x": X(1, 3, 8, 8).long()}),
    "none where another gives it": (Gives(), {"input_ids": X(1, 16).long()}),
    "guarded": (Refuses(), {"input_ids": X(1, 16).long()}),
    "guarded by one for each text": (Speaks(), {"input_ids": X(1, 16).long()}),
    "computing": (Computes(), {"input_ids": X(1, 16).long()}),
    "sizes of all that are as large": (Square(), {"pixel_values": X(1, 3, 8, 8), "pixel_mask": X(1, 8, 8).long()}),
    "asserted": (Asserts(), {"input_ids": IDS, "spans_idx": IDS}),
    "guarded by an assertion": (Wants(), {"input_ids": X(1, 16).long()}),
    "placed": (Places(), {"input_ids": IDS, "pixel_values": X(1, 3, 2, 3), "attention_mask": IDS}),
    "placed by kind": (PlacesByKind(), {"input_ids": IDS, "pixel_values": X(1, 3, 2, 3), "token_type_ids": IDS}),
    "placed by mask": (PlacesByMask(), {"input_ids": IDS, "pixel_values": X(1, 3, 2, 3), "seen_mask": IDS.bool()}),
    "looked_for": (Searches(), {"input_ids": IDS}),
    "listed": (Lists(), {"images": [X(3, 8, 8)]}),
    "counted by an assertion": (Counts(), {"images": X(1, 3, 8, 8)}),
    "unasked": (Positions(), {"input_ids": IDS}),
    "no_cache": (Caching(), {"input_ids": X(1, 3).long()}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_real_error_teaches_what_helps(name: str) -> None:
    module, inputs = CASES[name]
    with pytest.raises(Exception) as raised:  # any: whatever the real call says
        module(**inputs)
    facts = Facts(module, Config(), torch.float32)
    assert any(_runs(module, {**inputs, **change}) for change in changes(raised.value, facts, inputs))


def _runs(module: nn.Module, inputs: dict[str, Any]) -> bool:
    try:
        module(**inputs)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_a_capture_learns_it(name: str) -> None:
    loaded = loaded_with(*CASES[name])
    assert capture(loaded, Plan(device="cpu"), guessing=True).stop is not None
    again, captured = learned(loaded, Plan(device="cpu"))
    assert captured.stop is None
    module, _ = CASES[name]
    module(**again.inputs)
    assert [note for note in again.assumptions if note.what.startswith("input ")]


def test_every_lesson_has_a_case() -> None:
    assert {lesson.__name__.lstrip("_") for _, lesson in LESSONS} == {name.split()[0].strip(",") for name in CASES}


def test_a_step_further_is_seen_where_modules_share_their_lines() -> None:
    """Two modules of one class: the second runs no line that the first did not."""
    module = nn.Sequential(nn.Linear(8, 8), nn.Linear(16, 8))
    one, other = (capture(loaded_with(module, {"input": X(1, 1, width)}), Plan(device="cpu")) for width in (4, 8))
    assert one.stop is not None and other.stop is not None and _is_further(other, one)


def test_names_are_read_of_a_line_within_a_statement() -> None:
    with pytest.raises(RuntimeError) as raised:
        Images()(X(1, 4, 8), X(1, 16))
    frame, line = frames(raised.value)[-1]
    assert "x" in read(frame, line) and "count" in read(frame, line)


def test_inputs_of_a_person_stay() -> None:
    module, inputs = CASES["named"]
    loaded = loaded_with(module, inputs, invented="")
    assert learned(loaded, Plan(device="cpu"))[0] is loaded


def test_what_nothing_helps_keeps_its_first_inputs() -> None:
    class Stubborn(nn.Module):
        def forward(self, input_ids: Any) -> Any:
            raise ValueError("no")

    loaded = loaded_with(Stubborn(), {"input_ids": X(1, 3).long()})
    assert learned(loaded, Plan(device="cpu"))[0] is loaded
