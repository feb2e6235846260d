"""Which proposals are run where there are many."""

from __future__ import annotations

from pathlib import Path

from analyzer.remedy.judging import RUN
from tests.remedy.folders import Own, trials
from tests.worlds import copies

COUNT = 8


def _many(count: int) -> Own:
    names = ", ".join(f"self.w{number}" for number in range(count))
    return Own(
        init=f"""
{names} = (nn.Parameter(torch.ones(8, dtype=torch.float32)) for _ in range({count}))
self.layers = nn.ModuleList([nn.Linear(8, 8) for _ in range({count})])
""",
        forward="\n".join(
            f"y = x + self.w{number}\nx = torch.tanh(self.layers[{number}](y))" for number in range(count)
        )
        + "\nreturn x",
    )


@copies
def test_of_many_proposals_those_that_may_clear_all_are_run_and_the_others_are_listed(tmp_path: Path) -> None:
    tried = trials(_many(COUNT).write(tmp_path / "m"))
    own = [trial for trial in tried if trial.proposal.kind != "none"]
    assert sum(trial.ran for trial in own) == RUN < len(own)
    assert {trial.verdict() for trial in own if not trial.ran} == {"not run"}
    assert own[0].clears
    changes = [trial.proposal.change for trial in own if not trial.proposal.edits]
    every = {"set": {f"w{number}": "bfloat16" for number in range(COUNT)}}
    assert changes.count(every) == 1  # the cut is this, and is not said twice
    assert all(changes.count(change) == 1 for change in changes)
    (stored,) = [trial for trial in own if trial.proposal.change == every]
    assert (stored.clears, stored.places) == (True, COUNT)
    assert {trial.proposal.kind for trial in own if trial.ran} == {"stored", "model", "autocast"}
