"""The backward pass of a capture against real training steps: every operation, dtype, refusal and place."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.grad_mode import _force_original_view_tracking
from torch.utils._python_dispatch import TorchDispatchMode

import analyzer
from analyzer.ir.graph import Node
from analyzer.ir.plan import Plan
from analyzer.propagate import disagreements, propagate
from analyzer.rules import check
from tests.capture.models import ALIKE, Made, make
from tests.capture.real import Run, Seen, raised_at, really_trained, traced
from tests.capture.training import KERNELS, NARROW, REFUSED_BACKWARD, Adapter, Kernels, Views
from tests.versions import FIVE

TRAIN = Plan(device="cpu", train=True)


def _made(name: str, dtype: torch.dtype = torch.float32) -> Made:
    """A model with labels where it takes them."""
    module, given = make(name, dtype)
    if name == "clip":
        return module, given | {"return_loss": True}
    labels = {"llama": "input_ids", "mixtral": "input_ids", "t5": "decoder_input_ids", "whisper": "decoder_input_ids"}
    return module, given | ({"labels": given[labels[name]]} if name in labels else {})


def _agree(module: nn.Module, inputs: dict[str, Any], run: Run | None = None) -> list[Node]:
    """Check a step that nothing refuses against the real one; the nodes that are not forward."""
    captured, ops = traced(module, inputs, TRAIN, run)
    real, error = really_trained(module, inputs, run)
    assert error is None
    assert ops == real
    assert not [n for n in captured.graph if n.refused]
    assert not list(disagreements(propagate(captured.graph, TRAIN)))
    behind = [n for n in captured.graph if n.phase]
    assert behind
    return behind


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", ALIKE)
def test_every_dtype_of_a_training_step_is_the_real_one(name: str, dtype: torch.dtype) -> None:
    _agree(*_made(name, dtype))


@pytest.mark.parametrize("name", ALIKE)
def test_a_call_that_forward_refuses_is_no_second_finding_in_its_backward(name: str) -> None:
    module, inputs = _made(name, torch.bfloat16)
    next(m for n, m in module.named_modules() if isinstance(m, nn.Linear) and "1" in n).to(torch.float32)
    captured, ops = traced(module, inputs, TRAIN)
    real, error = really_trained(module, inputs)
    assert error is not None
    refused = [n for n in captured.graph if n.refused]
    assert refused[0].refused == str(error).splitlines()[0]
    assert (refused[0].phase, ops[: len(real)]) == ("", real)
    findings = [f for f in check(propagate(captured.graph, TRAIN)) if f.severity == "error"]
    assert findings
    assert not any(f.phase for f in findings)


@pytest.mark.parametrize("name", REFUSED_BACKWARD)
def test_what_only_backward_refuses_is_found_there_in_the_kernels_words(name: str) -> None:
    module = REFUSED_BACKWARD[name]()
    captured, ops = traced(module, NARROW, TRAIN)
    real, error = really_trained(module, NARROW)
    assert error is not None
    first = next(n for n in captured.graph if n.refused)
    assert (first.refused, first.phase) == (str(error).splitlines()[0], "backward")
    assert ops[: len(real)] == real
    if name != "huber_loss":  # torch's own backward has no Python line: it has that of its forward call
        file, line = raised_at(error)
        assert (file.endswith(first.place.file), first.place.line) == (True, line)
    finding = next(f for f in check(propagate(captured.graph, TRAIN)) if f.severity == "error")
    assert (finding.phase, finding.message) == ("backward", first.refused)
    assert first.id in finding.nodes
    assert not list(disagreements(propagate(captured.graph, TRAIN)))
    assert not [f for f in analyzer.trace(module, (NARROW["x"],), plan=Plan(device="cpu")).findings if f.phase]


def test_the_fix_of_a_backward_call_is_proved_by_training_again() -> None:
    wrong = analyzer.trace(Adapter(torch.float32), (NARROW["x"],), plan=TRAIN)
    fixes = {fix.what: (fix.cleared, fix.real.kind) for f in wrong.findings for fix in f.fixes}
    assert fixes == {  # autograd's engine cannot be taken past the first error
        "cast parameter b to bf16 once after loading": (True, "mends"),
        "cast parameter a to bf16 once after loading": (True, "not run"),
    }
    right = analyzer.trace(Adapter(torch.bfloat16), (NARROW["x"],), plan=TRAIN)
    assert not [f for f in right.findings if f.severity == "error"]


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_runs_the_forward_again(reentrant: bool) -> None:
    module, inputs = _made("llama", torch.bfloat16)
    module.gradient_checkpointing_enable({"use_reentrant": reentrant})  # type: ignore[operator]
    if reentrant:
        module.enable_input_require_grads()  # type: ignore[operator]
    again = [n for n in _agree(module, inputs) if n.phase == "recompute"]
    assert {n.module.split(".")[2] for n in again} == {"0", "1"}
    assert all(n.call and n.place.file.startswith("transformers/") for n in again)


def test_writes_through_views_are_replayed_as_for_any_tensor_subclass() -> None:
    module, inputs = Views(), {"x": torch.ones(5, 6)}
    with _force_original_view_tracking(True):  # autograd's way for subclasses; plain tensors take as_strided instead
        _agree(module, inputs)
    _, ops = traced(module, inputs, TRAIN)
    real, _ = really_trained(module, inputs)
    assert [*_no_views(ops)] == [*_no_views(real)]


def test_kernels_of_many_layers() -> None:
    assert len({n.op for n in _agree(Kernels(), KERNELS) if n.op.endswith("_backward.default")}) > 12


def _adamw(module: nn.Module, inputs: dict[str, Any], **options: bool) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), **options)  # type: ignore[arg-type]
    for _ in range(2):
        module(**inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()


def _adamw_foreach(module: nn.Module, inputs: dict[str, Any]) -> None:
    _adamw(module, inputs, foreach=True)


def _accumulating_sgd(module: nn.Module, inputs: dict[str, Any]) -> None:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, foreach=True)
    for _ in range(2):
        for _ in range(2):
            (module(**inputs).loss / 2).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)


def _penalty(module: nn.Module, inputs: dict[str, Any]) -> None:
    loss = module(**inputs).loss
    grads = torch.autograd.grad(loss, [p for p in module.parameters() if p.dim() > 1][1:4], create_graph=True)
    (loss + sum(g.float().pow(2).sum() for g in grads)).backward()


@pytest.mark.parametrize("run", [_adamw, _adamw_foreach, _accumulating_sgd, _penalty])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_training_step_of_ones_own(run: Run, dtype: torch.dtype) -> None:
    if run is _penalty and not FIVE:
        pytest.skip("a second derivative needs eager attention, which older models take at construction")
    module, inputs = _made("llama", dtype)
    if FIVE:
        module.set_attn_implementation("eager")  # type: ignore[operator]
    assert {n.phase for n in _agree(module, inputs, run)} == {"backward"}


class _Lines(TorchDispatchMode):
    """For each operation of a real backward pass: the line of its forward call, which anomaly mode writes down."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        node = torch._C._current_autograd_node()
        if hasattr(node, "variable"):  # AccumulateGrad
            self.lines.append("")
        elif node is not None:
            stack = [line for line in node.metadata.get("traceback_", []) if "/torch/" not in line.split(",")[0]]
            self.lines.append(":".join(re.findall(r'File "(.*)", line (\d+)', stack[-1])[0]))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["llama", "t5", "clip"])
def test_a_backward_node_is_at_the_line_of_its_forward_call(name: str) -> None:
    module, inputs = _made(name)
    captured, _ = traced(module, inputs, TRAIN)
    behind = [n for n in captured.graph.ops() if n.phase]
    module.train()
    with _Lines() as real, torch.autograd.set_detect_anomaly(True, check_nan=False):
        module(**copy.deepcopy(inputs)).loss.backward()
    assert len(real.lines) == len(behind)
    pairs = [(r, str(n.place)) for r, n in zip(real.lines, behind, strict=True) if r]
    assert len(pairs) > len(behind) / 2
    assert [(real, ours) for real, ours in pairs if not ours or not real.endswith(ours)] == []


def test_nothing_of_the_training_stays() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    module[0].train()
    before = copy.deepcopy(module.state_dict())
    report = analyzer.trace(lambda x: module(x), (torch.ones(3, 4),), plan=TRAIN)
    assert "backward" in {n.phase for n in report.graph}
    analyzer.trace(module, (torch.ones(3, 4),), plan=TRAIN)
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert [m.training for m in module.modules()] == [False, True, False]


def test_float_arguments_are_the_leaves_of_a_function() -> None:
    a, b = torch.ones(2, 3), torch.ones(3, 2, requires_grad=True)
    grads = lambda *args: [n.op for n in analyzer.trace(torch.matmul, args, plan=TRAIN).graph if n.phase]  # noqa: E731
    assert grads(a, b.detach()).count("aten.mm.default") == 2
    assert grads(a, b).count("aten.mm.default") == 1
    assert b.grad is None


def _no_views(ops: list[Seen]) -> Iterator[Seen]:
    from analyzer.oracle import is_view, overload

    return (seen for seen in ops if not is_view(overload(seen[0])))
