"""A run that the model's own code stops: what is kept, where the place is marked, what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from analyzer import trace
from analyzer.capture import Captured
from analyzer.errors import AnalyzerError
from analyzer.ir.graph import STOPPED
from analyzer.ir.plan import Plan
from analyzer.ir.text import parse_graph, print_graph
from analyzer.picture import overview
from analyzer.render import FORMATS
from analyzer.running.forward import capture, from_callable

CPU = Plan(device="cpu")
X = torch.ones(2, 4)


class Layer(nn.Module):
    """A layer that may stop."""

    def __init__(self, stops: str) -> None:
        super().__init__()
        self.inner, self.stops = nn.Linear(4, 4), stops

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Stop in Python, in a torch call, or not."""
        x = self.inner(x)
        if self.stops == "python":
            raise ValueError("tokens: 0,\nfeatures: 256")
        return torch.cat([x, x.flatten()]) if self.stops == "call" else x


class Model(nn.Module):
    """Layers, a head, and a tower that no input asks for."""

    def __init__(self, *stops: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(s) for s in stops])
        self.tower = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All layers, then the head."""
        for layer in self.layers:
            x = layer(x)
        return self.head(x)  # type: ignore[no-any-return]


def _captured(*stops: str) -> Captured:
    return capture(from_callable(Model(*stops).to("meta"), (X,), None), CPU)


@pytest.mark.parametrize(("stops", "words"), [("python", "ValueError"), ("call", "RuntimeError")])
def test_the_stop_has_the_error_the_line_and_the_module_of_the_real_run(stops: str, words: str) -> None:
    with pytest.raises((ValueError, RuntimeError)) as real:
        Model("", stops, "", "")(X)
    captured = _captured("", stops, "", "")
    assert captured.stop
    assert type(captured.stop.error) is real.type
    line = next(e.lineno for e in reversed(real.traceback) if e.path == Path(__file__)) + 1
    assert (captured.stop.place.line, captured.stop.module) == (line, "layers.1")
    assert f"{words}: {str(real.value).splitlines()[0]} at " in captured.coverage.incomplete
    assert "not reached: the rest of layers.1, layers.2-3, tower, head" in captured.coverage.incomplete
    assert [(m.module, m.parameters, m.count) for m in captured.coverage.never_entered] == [
        ("layers.2-3", 40, 2), ("tower", 40, 1), ("head", 10, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(("stops", "read"), [("python", ["addmm_1"]), ("call", ["addmm_1", "view"])])
def test_the_last_node_is_the_stop_and_reads_what_came_before(stops: str, read: list[str]) -> None:
    graph = _captured("", stops).graph
    assert graph.stop and graph.stop.op == STOPPED
    assert [ref.id for ref in graph.stop.operands()] == read
    assert graph.stop.call == ("cat" if stops == "call" else "")
    assert parse_graph(print_graph(graph)) == graph


def test_the_picture_marks_the_stop_in_its_layer_and_what_was_never_entered() -> None:
    report = trace(Model("", "", "python", "").to("meta"), (X,), plan=CPU)
    boxes = {box.kind: box for box in overview(report.flow, report.findings, report.coverage.never_entered).boxes}
    assert boxes["stop"].path == ("layers.2",)
    assert boxes["stop"].label.startswith("ValueError: tokens: 0, (")
    assert boxes["missed"].label == "head\nnever entered"
    dot = FORMATS[".dot"](report).decode()
    assert "Model: partial verdict, the run stopped early: nothing found so far" in dot
    assert "incomplete: the model stopped with ValueError" in dot
    assert "THE RUN STOPPED HERE" in dot


def test_what_was_found_before_the_stop_is_reported() -> None:
    model = Model("", "python").to("meta")
    model.layers[0].to(torch.bfloat16)
    report = trace(model, (X,), plan=CPU)
    assert [(f.code, f.module) for f in report.findings] == [("DT101", "layers.0.inner")]
    assert report.coverage.ops == report.to_json()["coverage"]["ops"] > 1
    assert report.to_json()["coverage"]["never_entered"][0] == {"module": "tower", "parameters": 40, "count": 1}


def test_a_cast_that_makes_the_run_stop_is_no_proved_fix() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.ones(4, 4))
            self.w = nn.Parameter(torch.ones(4, 4, dtype=torch.bfloat16))
            self.picky = False

        def forward(self) -> torch.Tensor:
            y = self.w @ self.table
            if self.picky and self.table.dtype == torch.bfloat16:
                raise ValueError("wants float32")
            return y + 1

    model = Picky().to("meta")
    assert [fix.proved for fix in trace(model, plan=CPU).findings[0].fixes] == [True]
    model.picky = True
    assert not any(fix.proved for fix in trace(model, plan=CPU).findings[0].fixes)


def test_a_run_that_never_began_is_an_error() -> None:
    def nothing(x: torch.Tensor) -> torch.Tensor:
        raise TypeError("missing argument")

    with pytest.raises(AnalyzerError, match=r"the model stopped with TypeError: missing argument at .*test_stops"):
        trace(nothing, (X,), plan=CPU)
