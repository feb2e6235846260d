"""The proposals as people see them: a block for each on a narrow terminal, a table on a wide one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from analyzer.ir.fixes.effects import Effect
from analyzer.ir.fixes.proof import MENDS
from analyzer.ir.fixes.proposals import Failure, Proposal, Trial
from analyzer.render.fixes import show

TRIALS = [
    Trial(
        Proposal("stored", "cast resampler.pos_embed to bf16 once after loading"),
        ran=True, errors_before=2, bytes=-294912, places=1, casts="1 parameter f32->bf16",
        real=MENDS,
        effects=(Effect("stored", "float32", "bfloat16", name="resampler.pos_embed"),),
    ),
    Trial(
        Proposal("autocast", "run forward under autocast cuda:bfloat16"),
        ran=True, errors_before=2, errors_left=1, new_promotions=1, places=1, real=MENDS,
    ),
    Trial(
        Proposal("asked", "set.vision_encoder=float32,set.resampler=bfloat16"), errors_before=2, errors_left=2,
        failed=Failure(
            "cannot be set", "'vision_encoder' matches no parameter, buffer or module (did you mean 'vpm'?)"
        ),
    ),
]  # fmt: skip
NARROW = """\
2 errors; what could help, best first:
1. cast resampler.pos_embed to bf16 once after loading
   proved: clears all
   1 place; 1 parameter f32->bf16; memory -288.0 KiB; values: f32 rounded to
   bf16 (8 bits): resampler.pos_embed
2. run forward under autocast cuda:bfloat16
   proved in part: 1 error left of 2
   1 place; memory 0 B; no value is rounded; 1 new promotion
3. set.vision_encoder=float32,set.resampler=bfloat16
   cannot be set: 'vision_encoder' matches no parameter, buffer or module (did
   you mean 'vpm'?)
"""


def _shown(width: int) -> str:
    stream = io.StringIO()
    show(TRIALS, Console(file=stream, width=width), errors=2)
    return stream.getvalue()


def test_eighty_columns_have_a_block_for_each() -> None:
    assert _shown(80) == NARROW


@pytest.mark.parametrize("width", [40, 60, 80, 110, 160])
def test_no_line_is_longer_than_the_terminal_and_no_word_is_lost(width: int) -> None:
    shown = _shown(width)
    assert max(map(len, shown.splitlines())) <= width
    said = "".join(shown.split())
    for trial in TRIALS:
        assert "".join(trial.proposal.what.split()) in said or width >= 110


def test_a_wide_terminal_has_a_table_in_which_each_proposal_is_one_line() -> None:
    lines = _shown(160).splitlines()
    assert lines[1].split() == ["errors", "new"]
    assert all(any(line.startswith(trial.proposal.what) for line in lines) for trial in TRIALS)
