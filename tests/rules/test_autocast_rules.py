"""The rules about autocast against real runs on the CPU: kept casts, recomputations, losses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from analyzer.capture import Loaded
from analyzer.capture.autocast.policies import keeps_gradients
from analyzer.capture.module_inventory import inventory_of
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.ir.text import parse_graph, print_graph
from analyzer.rules import check
from analyzer.running.forward import capture, from_callable
from tests.capture.real import bare
from tests.capture.wrapped import alone, shard

BF16, F16 = torch.bfloat16, torch.float16
Write = Callable[[nn.Linear], object]


def _region(dtype: torch.dtype = BF16, **more: Any) -> Any:
    return torch.autocast("cpu", dtype, **more)


def _found(target: Callable[..., Any], x: torch.Tensor, train: bool = False) -> list[Finding]:
    plan = Plan(device="cpu", train=train)
    graph = capture(from_callable(target, (x,), {}), plan).whole().graph
    assert parse_graph(print_graph(graph)) == graph
    return [f for f in check(Flow.as_captured(graph, plan)) if f.code.startswith("DT6")]


def _stepped(layer: nn.Linear) -> None:
    for parameter in layer.parameters():
        parameter.grad = torch.ones_like(parameter)
    torch.optim.SGD(layer.parameters(), lr=0.5).step()


def _replaced(layer: nn.Linear) -> None:
    layer.weight.data = layer.weight.data * 2


WRITES: dict[str, Write] = {
    "data.copy_": lambda layer: layer.weight.data.copy_(torch.eye(8)),
    "no_grad": lambda layer: torch.no_grad()(layer.weight.mul_)(2),
    "data =": _replaced,
    "a part": lambda layer: layer.weight.data[0].fill_(0),
    "an optimizer": _stepped,
    "foreach": lambda layer: torch._foreach_mul_([layer.weight.data], 2),
    "cleared": lambda layer: (layer.weight.data.mul_(2), torch.clear_autocast_cache()),
    "nothing": lambda layer: layer.weight.data.sum(),
    "another": lambda layer: layer.weight.clone().detach().mul_(2),
}


class Written(nn.Module):
    """A layer that is called, written and called again."""

    def __init__(self, write: Write, around: Any, inside: Any) -> None:
        super().__init__()
        self.layer, self.write, self.around, self.inside = nn.Linear(8, 8), write, around, inside

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Both results."""
        with self.around():
            with self.inside():
                first = self.layer(x)
            self.write(self.layer)
            with self.inside():
                return first, self.layer(x)


REGIONS: dict[str, tuple[Any, Any]] = {
    "one": (_region, nullcontext),
    "one around others": (_region, _region),
    "one each": (nullcontext, _region),
    "one that is off around others": (lambda: _region(enabled=False), _region),
    "one without a cache": (lambda: _region(cache_enabled=False), nullcontext),
    "none": (nullcontext, nullcontext),
}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("name", WRITES)
def test_a_kept_cast_is_told_where_a_real_run_gives_the_old_result(name: str, region: str) -> None:
    """The second result of a real run against that of a run whose regions keep nothing."""
    module, x = Written(WRITES[name], *REGIONS[region]), torch.randn(2, 8)
    keeping, clearing = copy.deepcopy(module), copy.deepcopy(module)
    wrong = keeping(x)[1]
    write = clearing.write
    clearing.write = lambda layer: (write(layer), torch.clear_autocast_cache())
    right = clearing(x)[1]
    told = [f for f in _found(module, x, train=True) if f.code == "DT601"]
    assert len(told) == (not torch.equal(wrong, right))
    assert all(f.severity == "warning" and "layer.weight was written" in f.message for f in told)


def test_both_lines_are_in_the_message() -> None:
    module = Written(WRITES["data.copy_"], *REGIONS["one"])
    (found,) = _found(module, torch.ones(2, 8))
    assert found.message.count("test_autocast_rules.py:") == 2
    assert f"test_autocast_rules.py:{found.line}" not in found.message


def test_an_optimizer_that_a_function_closes_over_steps_the_weights_under_autocast() -> None:
    layer = nn.Linear(8, 8)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)

    def steps(x: torch.Tensor, regions: Any) -> list[torch.Tensor]:
        losses = []
        with regions[0]():
            for _ in range(2):
                with regions[1]():
                    losses.append(layer(x).float().pow(2).mean())
                losses[-1].backward()
                optimizer.step()
                optimizer.zero_grad()
        return losses

    for name, (first, second) in REGIONS.items():
        told = _found(lambda x, r=(first, second): steps(x, r), torch.ones(2, 8), train=True)
        real = steps(torch.ones(2, 8), (first, second))
        assert bool(told) == torch.equal(real[0], real[1]), name


def test_a_cast_from_under_no_grad() -> None:
    """Before torch 2.10 it is kept without its gradient."""
    layer, x = nn.Linear(8, 8), torch.ones(2, 8)

    def twice(x: torch.Tensor) -> torch.Tensor:
        with _region():
            with torch.no_grad():
                layer(x)
            return layer(x).float().mean()

    told = _found(twice, x, train=True)
    assert bool(told) != keeps_gradients()
    assert all("no gradient reaches it" in f.message for f in told)
    assert twice(x).requires_grad == keeps_gradients()


class Again(torch.autograd.Function):
    """A checkpoint as people write it."""

    @staticmethod
    def forward(ctx: Any, block: nn.Module, around: Any, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        """Without a graph."""
        ctx.block, ctx.around = block, around
        ctx.save_for_backward(x, *weights)
        with torch.no_grad():
            return block(x)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        """With one."""
        x, *weights = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad(), ctx.around():
            again = ctx.block(x)
        return None, None, *torch.autograd.grad(again, [x, *weights], grad.to(again.dtype))


class Noted(nn.Linear):
    """A layer that notes the dtypes that it gives."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """And goes on."""
        result = super().forward(x)
        self.given = (*getattr(self, "given", ()), result.dtype)
        return result


class Checkpointed(nn.Module):
    """A block under autocast, recomputed in one of several ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.block = how, Noted(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A mean over it."""
        around = {"f16": lambda: _region(F16), "bf16": _region, "off": nullcontext}.get(self.how)
        with _region():
            if around is not None:
                result = Again.apply(self.block, around, x, *self.block.parameters())
            else:
                result = checkpoint(self.block, x, use_reentrant=self.how == "reentrant")
        return result.float().mean()  # type: ignore[no-any-return]


@pytest.mark.parametrize("how", ["f16", "bf16", "off", "reentrant", "not reentrant"])
def test_a_recomputation_in_another_dtype(how: str) -> None:
    module, x = Checkpointed(how), torch.ones(2, 8, requires_grad=True)
    (told,) = [f for f in _found(copy.deepcopy(module), x, train=True) if f.code == "DT602"] or [None]
    module(x).backward()
    first, second = module.block.given[0], module.block.given[-1]
    assert bool(told) == (first != second)
    assert told is None or (told.severity, told.phase) == ("warning", "recompute")


class Classified(nn.Module):
    """A classifier with its loss."""

    def __init__(self, wide: bool = False) -> None:
        super().__init__()
        self.wide, self.head = wide, nn.Linear(8, 64)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Their cross entropy."""
        logits = self.head(x) * 40
        return nn.functional.cross_entropy(logits.float() if self.wide else logits, labels)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("wide", [False, True])
def test_the_loss_of_a_sharded_model(version: int, wide: bool, tmp_path: Path) -> None:
    wrap = Wrap(version, policy="none", param_dtype="bfloat16")
    inputs = {"x": torch.ones(4, 8), "labels": torch.arange(4)}
    plan = Plan(device="cpu", train=True, training=Training(fsdp=wrap))
    found = _findings(Classified(wide), inputs, plan)
    with alone(tmp_path):
        loss = shard(Classified(wide), wrap)(**inputs)
    assert [f.code for f in found] == ["DT603"] * (loss.dtype == BF16)
    assert loss.dtype == (torch.float32 if wide else BF16)
    assert not _findings(Classified(wide), inputs, replace(plan, autocast="cpu:bfloat16", scope="run"))
    assert not _findings(Classified(wide).to(BF16), {**inputs, "x": inputs["x"].to(BF16)}, Plan(device="cpu"))


def test_the_loss_under_deepspeed() -> None:
    inputs = {"x": torch.ones(4, 8, dtype=BF16), "labels": torch.arange(4)}
    for dtype, count in (("bfloat16", 1), ("", 0)):
        plan = Plan(device="cpu", train=True, training=Training(deepspeed=Engine(2, dtype)))
        x = inputs["x"] if dtype else inputs["x"].float()
        assert len(_findings(Classified(), {**inputs, "x": x}, plan)) == count


def _findings(module: nn.Module, inputs: dict[str, Any], plan: Plan) -> list[Finding]:
    loaded = Loaded(bare(module), "M", "", inputs, inventory=inventory_of(module))
    flow = Flow.as_captured(capture(loaded, plan).whole().graph, plan)
    return [f for f in check(replace(flow, inventory=loaded.inventory)) if f.code.startswith("DT6")]


class Encoder(nn.Module):
    """A model with a method besides forward."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(8, 8)).to(dtype), nn.Linear(8, 8)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Of a part."""
        return self.body(x)  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """All of it."""
        return self.head(self.encode(x))  # type: ignore[no-any-return]


CALLS: dict[str, tuple[Callable[[Any, torch.Tensor], Any], str]] = {
    "forward": (lambda module, x: module(x), ""),
    "a method": (lambda module, x: module.encode(x), "encode was called"),
    "both": (lambda module, x: module(module.encode(x)), "encode was called"),
    "a part": (lambda module, x: module.body(x), "body was called"),
    "a part of a part": (lambda module, x: module.body[0](x), "body.0 was called"),
    "a region": (lambda module, x: _region()(module.encode)(x), ""),
    "a loss outside": (lambda module, x: (module(x) @ module(x).T).mean(), ""),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_outside_of_the_region_around_forward(name: str) -> None:
    call, words = CALLS[name]
    plan, x = Plan(device="cpu", autocast="cpu:bfloat16"), torch.ones(2, 8)
    loaded = Loaded(bare(Encoder()), "M", "", {"x": x}, lambda module, inputs: call(module, inputs["x"]))
    graph = capture(loaded, plan).whole().graph
    assert parse_graph(print_graph(graph)) == graph
    (found,) = [f for f in check(Flow.as_captured(graph, plan)) if f.code == "DT604"] or [None]
    module, given = Encoder(), []
    module.body.register_forward_hook(lambda part, args, result: given.append(result.dtype))
    module.body[0].register_forward_hook(lambda part, args, result: given.append(result.dtype))
    module.forward = _region()(module.forward)
    call(module, x)
    assert (torch.float32 in given) == bool(words)
    assert (found.message if found else "").partition("because ")[2].startswith(words)
    assert bool(found) == bool(words)
    assert not any(n.uncovered for n in capture(loaded, replace(plan, scope="run")).graph)


def test_a_refused_call_outside_says_why_as_a_note() -> None:
    plan, x = Plan(device="cpu", autocast="cpu:bfloat16"), torch.ones(2, 8)
    loaded = Loaded(bare(Encoder(BF16)), "M", "", {"x": x}, lambda module, inputs: module.encode(inputs["x"]))
    found = check(Flow.as_captured(capture(loaded, plan).graph, plan))
    assert [(f.code, f.severity) for f in found] == [("DT101", "error"), ("DT604", "note")]
