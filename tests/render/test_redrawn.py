"""Every format of every view is the same, byte for byte, from a live report and from the one that was saved of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from analyzer import plans, trace
from analyzer.actions.trace import run_stages
from analyzer.ir.graph import above
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from analyzer.picture import PLAIN, Look
from analyzer.render import FORMATS, repro, terminal
from analyzer.report import Report
from analyzer.report.reader import parse_report
from tests.samples.shrink import SAMPLES, shrink


def _sample(folder: Path, plan: Plan | None = None, name: str = "minicpm_v_2") -> Report:
    return trace(shrink(SAMPLES / name, folder), plan=plan, trust_remote_code=True)


def _clean(folder: Path) -> Report:
    return _sample(folder, name="minicpm_v_2_fixed")


def _autocast(folder: Path) -> Report:
    return _sample(folder, Plan(autocast="cuda:bfloat16", scope="run"))


def _changed(folder: Path) -> Report:
    return _sample(folder, Plan(set={"vpm.*": "float32"}, inputs_to="float16"))


def _train(folder: Path) -> Report:
    return _sample(folder, Plan(train=True))


def _recipe(folder: Path) -> Report:
    made = plans.make({}, [SAMPLES / "recipes" / "seed.yaml"])
    return run_stages(ModelRequest(shrink(SAMPLES / "minicpm_v_2", folder), trust_remote_code=True), made)


def _steps(folder: Path) -> Report:
    return trace(_Mixed(), (torch.ones(2, 4),), steps="forward,forward")


def _stopped(folder: Path) -> Report:
    return trace(_Mixed(stops=True), (torch.ones(2, 4),))


def _function(folder: Path) -> Report:
    def call(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        masked = torch.where(x > 0, x, float("-inf")).masked_fill(y.bool(), float("nan"))
        return (masked * (1 + 2j)).real.to(y.dtype) @ y

    return trace(call, (torch.ones(4, 4), torch.ones(4, 4, dtype=torch.bfloat16)))


class _Mixed(nn.Module):
    """A product of two dtypes, and a tower that no input asks for."""

    def __init__(self, stops: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4).to(torch.bfloat16)])
        self.tower, self.stops = nn.Linear(4, 4), stops

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Through the layers, or up to the stop."""
        for layer in self.layers:
            x = layer(x)
        if self.stops:
            raise ValueError("tokens: 0,\nfeatures: 256")
        return x


MADE: tuple[Callable[[Path], Report], ...] = (
    _sample, _clean, _autocast, _changed, _train, _recipe, _steps, _stopped, _function
)  # fmt: skip


@pytest.fixture(scope="module", params=MADE, ids=lambda made: made.__name__[1:])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One report as a trace makes it."""
    return request.param(tmp_path_factory.mktemp("model") / "m")


def _looks(report: Report) -> Iterator[Look]:
    yield PLAIN
    worst = report.worst
    yield Look(finding=min(1, len(worst.findings)), link_base="https://host/model")
    modules = {path for node in worst.graph.ops() for path in above(node.module)} - {""}
    yield from (Look(focus=path) for path in sorted(modules)[-1:])


def _all_of(value: Any) -> Any:
    """Every field of every value, those included that comparing leaves out; in words, since no nan equals another."""
    if isinstance(value, (tuple, list)):
        return [_all_of(item) for item in value]
    if isinstance(value, dict):
        return {_all_of(key) if isinstance(key, str) else repr(key): _all_of(item) for key, item in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return type(value).__name__, {f.name: _all_of(getattr(value, f.name)) for f in fields(value) if f.init}
    return repr(value)


def test_a_saved_report_is_the_report(live: Report) -> None:
    saved = FORMATS[".json"](live)
    again = parse_report(saved, "saved")
    assert _all_of(again) == _all_of(live)
    assert again.to_json() == live.to_json() and FORMATS[".json"](again) == saved


def test_every_format_of_every_view_is_the_same(live: Report) -> None:
    for look in _looks(live):
        seen = live.seen(look)
        again = parse_report(FORMATS[".json"](live), "saved").seen(look)
        for suffix, render in FORMATS.items():
            assert render(again) == render(seen), (suffix, look)
        saved = parse_report(FORMATS[".json"](seen), "saved")
        assert saved.look == look and FORMATS[".dot"](saved) == FORMATS[".dot"](seen)


def test_scripts_and_what_the_terminal_shows_are_the_same(live: Report) -> None:
    again = parse_report(FORMATS[".json"](live), "saved")
    assert repro.render(again) == repro.render(live)
    shown = []
    for report in (live, again):
        console = Console(file=io.StringIO(), width=100, force_terminal=True)
        terminal.show(report, console)
        shown.append(console.file.getvalue())  # type: ignore[attr-defined]
    assert shown[0] == shown[1]
