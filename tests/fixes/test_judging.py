"""Which proposals are run where there are many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from analyzer.fixes.ranking import RUN
from tests.fixes.folders import BASE, Own, really, trials, weigh
from tests.versions import copies

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
    assert 1 < sum(trial.ran for trial in own) <= RUN < len(own)
    assert {trial.verdict() for trial in own if not trial.ran} == {"not run"}
    assert own[0].clears
    changes = [trial.proposal.change for trial in own if not trial.proposal.edits]
    every = {"set": {f"w{number}": "bfloat16" for number in range(COUNT)}}
    assert changes.count(every) == 1  # the cut is this, and is not said twice
    assert all(changes.count(change) == 1 for change in changes)
    (stored,) = [trial for trial in own if trial.proposal.change == every]
    assert (stored.clears, stored.places) == (True, COUNT)
    assert {trial.proposal.kind for trial in own if trial.ran} == {"stored", "component", "model", "autocast", "source"}


def test_the_component_that_refuses_what_comes_from_another_may_follow_it(tmp_path: Path) -> None:
    layers = "self.encoder, self.decoder = nn.Linear(8, 8), nn.Linear(8, 8)"
    folder = Own(init=layers, forward="return self.decoder(self.encoder(x))").write(tmp_path / "m")
    weigh(folder)
    plan = replace(BASE, set={"decoder": "float32"})
    (follows,) = [one for one in trials(folder, plan) if one.proposal.what == "cast component decoder to bf16"]
    assert (follows.clears, follows.places) == (True, 2)
    assert "must have the same dtype" in really(folder, plan)[0]
    assert really(folder, follows.proposal.plan(plan)) == ("bfloat16",)
