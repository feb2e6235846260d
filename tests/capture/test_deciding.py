"""Floats that decide: experts by any implementation, rankings, loops and early exits, with their source lines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from analyzer import oracle, trace
from analyzer.ir.graph import UPDATED
from analyzer.ir.plan import Plan
from analyzer.picture import overview
from analyzer.propagate import disagreements
from analyzer.report import Report
from tests.capture.models import IDS, TINY
from tests.capture.real import bare, really
from tests.versions import five

CPU = Plan(device="cpu")
X = torch.ones(12, 8)


class Experts(nn.Module):
    """A router, and a list of experts in a loop over those that are hit."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.gate = nn.Linear(8, count, bias=False)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Two experts a token."""
        weights, chosen = torch.topk(self.gate(x).softmax(-1), 2)
        out = torch.zeros_like(x)
        for number in chosen.unique():
            token, rank = torch.where(chosen == number)
            out.index_add_(0, token, self.experts[number](x[token]) * weights[token, rank, None])
        return out


def _experts(count: int) -> Report:
    module = nn.Sequential(Experts(count), Experts(count)).to("meta")
    return trace(module, (torch.ones(count, 8),), plan=CPU)


def test_experts_are_linear_and_one_box() -> None:
    few, more, most = _experts(8), _experts(16), _experts(256)
    step = (more.coverage.ops - few.coverage.ops) // 8
    assert most.coverage.ops == few.coverage.ops + step * 248
    assert len(overview(most.flow, most.findings).boxes) == len(overview(few.flow, few.findings).boxes) <= 4
    assert most.coverage.never_entered == ()
    (assumed,) = most.coverage.assumptions
    assert (assumed.what, assumed.value, assumed.count) == ("which entries rank first", "round robin over 256", 2)
    line = inspect.getsourcelines(Experts.forward)[1] + 2
    assert (assumed.file.rpartition("/")[2], assumed.line) == ("test_deciding.py", line)


def test_experts_that_no_token_was_sent_to_are_one_line() -> None:
    report = trace(Experts(256).to("meta"), (X,), plan=CPU)
    (missed,) = report.coverage.never_entered
    assert (missed.module, missed.count, missed.parameters) == ("experts.24-255", 232, 232 * 72)


@five
@pytest.mark.parametrize("how", ["batched_mm", "grouped_mm"])
def test_experts_without_a_loop_are_the_same_for_any_number(how: str) -> None:
    seen = []
    for count in (4, 64):
        config = hf.Qwen3MoeConfig(
            **TINY, num_key_value_heads=2, head_dim=8, moe_intermediate_size=16, num_experts=count,
            num_experts_per_tok=2,
        )  # fmt: skip
        model = hf.Qwen3MoeForCausalLM(config).to(torch.bfloat16).eval()
        model.config._experts_implementation = how
        report = trace(bare(model), kwargs={"input_ids": IDS, "use_cache": False}, plan=CPU)
        seen.append(_ops(report))
        assert seen[-1] == really(model, {"input_ids": IDS, "use_cache": False})
    assert seen[0] == seen[1]


def _ops(report: Report) -> list[tuple[str, tuple[str, ...]]]:
    ops = [n for n in report.graph.ops() if n.op != UPDATED and n.outputs and oracle.overload(n.op)._schema.returns]
    return [(n.op, tuple(s.dtype for s in n.outputs)) for n in ops]


@pytest.mark.parametrize(
    "rank",
    [
        lambda x: torch.topk(x, 3).indices,
        lambda x: torch.topk(x, 3, dim=0).indices.t(),
        lambda x: torch.sort(x, dim=0, descending=True).indices.t(),
        lambda x: torch.argsort(x, dim=-1),
        lambda x: x.argmax(dim=1, keepdim=True),
        lambda x: torch.multinomial(x, 5),
    ],
)
def test_a_ranking_takes_no_entry_twice_and_none_that_is_not_there(rank: Callable[[Any], Any]) -> None:
    rows: list[list[int]] = []
    trace(lambda x: rows.extend(rank(x).tolist()), (torch.rand(12, 7),), plan=CPU)
    real = rank(torch.rand(12, 7))
    assert torch.tensor(rows).shape == real.shape
    assert all(len(set(row)) == len(row) for row in rows)
    most = 12 if len(rows) == 7 else 7
    assert all(0 <= index < most for row in rows for index in row)


def test_a_loop_that_waits_for_a_float_ends() -> None:
    def refine(x: torch.Tensor) -> torch.Tensor:
        while x.abs().max() > 1e-3:
            x = x * 0.5
        return x

    report = trace(refine, (X,), plan=CPU)
    assert report.coverage.incomplete == ""
    assert {a.value for a in report.coverage.assumptions} == {"True", "False"}
    assert report.coverage.ops < 5000


def test_a_loop_that_no_answer_ends_stops_the_trace_at_its_line() -> None:
    def wait(x: torch.Tensor) -> torch.Tensor:
        while x.sum().item() != 0.25:
            x = x * 0.5
        return x

    report = trace(wait, (X,), plan=CPU)
    assert "RuntimeError: a loop that floats decide did not end in 2,048 rounds" in report.coverage.incomplete
    assert f"test_deciding.py:{inspect.getsourcelines(wait)[1] + 1}" in report.coverage.incomplete


class Router(nn.Module):
    """Casts a part of itself in its forward, as SwitchTransformers' router does."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(8, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Route in float32."""
        self.classifier = self.classifier.to(torch.float32)
        return self.classifier(x.float()).to(x.dtype)  # type: ignore[no-any-return]


def test_a_part_that_forward_casts_has_the_new_dtype_from_there() -> None:
    module, x = Router().to(torch.bfloat16), X.bfloat16()
    report = trace(bare(module), (x,), plan=CPU)
    assert _ops(report) == really(module, {"x": x})
    assert not [f for f in report.findings if f.severity == "error"]
    assert not list(disagreements(report.flow))


def test_an_early_exit_names_the_line_that_decides() -> None:
    class Exits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = layer(x)
                if x.softmax(-1).max() > 0.9:
                    break
            return x

    report = trace(Exits().to("meta"), (X,), plan=CPU)
    (assumed,) = report.coverage.assumptions
    assert assumed.line == inspect.getsourcelines(Exits.forward)[1] + 3
    assert [(m.module, m.count) for m in report.coverage.never_entered] == [("layers.1-3", 3)]
