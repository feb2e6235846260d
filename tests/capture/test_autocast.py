"""Autocast in a capture against real runs of the same models and modules under the CPU's autocast."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch import nn

from analyzer.errors import AnalyzerError
from analyzer.ir.graph import CAST
from analyzer.ir.plan import Plan
from analyzer.propagate import disagreements, propagate
from analyzer.running.forward import capture, from_callable
from tests.capture.models import ALIKE, make
from tests.capture.real import really, really_trained, traced

BF16, F16 = torch.bfloat16, torch.float16
X = torch.ones(2, 4)


@pytest.mark.parametrize("lower", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ALIKE)
def test_every_operation_and_cast_under_cpu_autocast_is_the_real_one(name: str, lower: str) -> None:
    module, inputs = make(name, torch.float32)
    plan = Plan(device="cpu", autocast=f"cpu:{lower}", scope="run")
    captured, ops = traced(module, inputs, plan)
    assert ops == really(module, inputs, torch.autocast("cpu", dtype=getattr(torch, lower)))
    assert not [n for n in captured.graph if n.refused]
    assert not list(disagreements(propagate(captured.graph, plan)))
    inserted = [n for n in captured.graph if n.inserted]
    assert {n.op for n in inserted} == {CAST} and {n.inserted for n in inserted} == {"autocast"}
    weights = [n.operands()[0].id for n in inserted if captured.graph[n.operands()[0].id].op == "parameter"]
    assert weights and len(weights) == len(set(weights))


class Twice(nn.Module):
    """Two calls of the same layers, with what `how` puts around the second."""

    def __init__(self, how: str, device: str) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.how, self.device = how, device

    def forward(self, x: torch.Tensor) -> Any:
        y = self.b(self.frozen(self.a(x)))
        around = {
            "nothing": contextlib.nullcontext,
            "island": lambda: torch.autocast(x.device.type, enabled=False),
            "other dtype": lambda: torch.autocast(self.device, dtype=F16),
            "no cache": lambda: torch.autocast(self.device, dtype=BF16, cache_enabled=False),
            "amp": lambda: torch.amp.autocast(self.device, dtype=BF16),
        }[self.how]
        with around():
            z = self.b(x.float())
            with torch.autocast(self.device, dtype=BF16):
                z = z + torch.exp(self.a(x)) + self.frozen(x)
        return y, z.softmax(-1), torch.cat([self.a(x), x]), nn.functional.layer_norm(x, (4,)), self.a(x).sum()


@pytest.mark.parametrize("how", ["nothing", "island", "no cache", "amp"])
@pytest.mark.parametrize("outer", ["cpu:bfloat16", None])
def test_nested_regions_islands_and_kept_casts_are_the_real_ones(how: str, outer: str | None) -> None:
    module = Twice(how, "cpu")
    _, ops = traced(module, {"x": X}, Plan(device="cpu", autocast=outer, scope="run"))
    assert ops == really(module, {"x": X}, torch.autocast("cpu", dtype=BF16, enabled=outer is not None))


class Folded(nn.Module):
    """A linear layer on a transposed batch: torch folds it into one product if the weight that it sees needs grads."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4, bias=False)

    def forward(self, x: torch.Tensor) -> Any:
        with torch.no_grad():
            y = self.a(x.transpose(1, 2))
        return y, self.a(x.transpose(1, 2))


@pytest.mark.parametrize("cache", [True, False])
def test_a_kept_cast_has_the_gradients_that_torch_gives_it(cache: bool) -> None:
    module, inputs = Folded(), {"x": torch.ones(2, 4, 3)}

    def run(module: nn.Module, inputs: dict[str, Any]) -> Any:
        with torch.autocast("cpu", dtype=BF16, cache_enabled=cache):
            y = module(**inputs)
            if y[1].requires_grad:  # up to torch 2.9 a cast that was kept without gradients has none for good
                y[1].sum().backward()
        return y

    for train in (False, True):
        _, ops = traced(module, inputs, Plan(device="cpu", train=train), run)
        under = torch.autocast("cpu", dtype=BF16, cache_enabled=cache)
        assert ops == (really_trained(module, inputs, run)[0] if train else really(module, inputs, under))


def test_a_kept_cast_is_used_in_another_dtype_and_refused_as_in_reality() -> None:
    module = Twice("other dtype", "cpu")
    captured, _ = traced(module, {"x": X}, Plan(device="cpu", autocast="cpu:bfloat16", scope="run"))
    with pytest.raises(RuntimeError) as raised:
        really(module, {"x": X}, torch.autocast("cpu", dtype=BF16))
    refused = [n for n in captured.graph if n.refused]
    assert "dtype" in str(raised.value) and refused
    assert refused[0].call == "linear"


class Asking(nn.Module):
    """Writes down what the queries say."""

    def __init__(self, said: list[Any]) -> None:
        super().__init__()
        self.say = said.extend

    def forward(self, x: torch.Tensor, device: str) -> torch.Tensor:
        for enabled in (True, False):
            with torch.autocast(device, dtype=F16, enabled=enabled):
                self.say([torch.is_autocast_enabled(device), torch.is_autocast_enabled(x.device.type)])
                self.say([torch.get_autocast_dtype(device), torch.is_autocast_cache_enabled()])
        self.say([torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)])
        return x


@pytest.mark.parametrize("device", ["cpu", "cuda", "xpu"])
def test_queries_answer_as_where_the_device_is(device: str) -> None:
    captured: list[Any] = []
    real: list[Any] = []
    capture(from_callable(Asking(captured), (X, device), None), Plan(device=device, autocast=f"{device}:bf16"))
    with torch.autocast("cpu", dtype=BF16):
        Asking(real)(X, "cpu")
    assert captured == real != []


def test_the_older_queries_mean_cuda() -> None:
    said: list[Any] = []

    def ask(x: torch.Tensor) -> torch.Tensor:
        said.extend([torch.is_autocast_enabled(), torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("xpu")])
        with torch.cuda.amp.autocast(dtype=F16):
            said.extend([torch.is_autocast_enabled(), x.matmul(x.t()).dtype])
        return x

    with pytest.warns(FutureWarning):
        capture(from_callable(ask, (X,), None), Plan(autocast="cuda:bfloat16"))
    assert said == [True, BF16, False, True, F16]


@pytest.mark.parametrize("plan", [Plan(), Plan(device="cpu", autocast="cuda:bfloat16", scope="run")])
def test_autocast_in_model_code_acts_for_the_device_that_is_not_there_and_for_meta(plan: Plan) -> None:
    @torch.no_grad()
    def run(x: torch.Tensor) -> Any:
        with torch.autocast("cuda", dtype=F16):
            a = x @ x.t()
        with torch.autocast("meta", dtype=BF16):
            b = x @ x.t()
        with torch.autocast("xpu", dtype=BF16, enabled=True):  # not the model's device
            c = x.sin() @ x.t()
        return a, b, c

    graph = capture(from_callable(run, (X,), None), plan).graph
    outer = "bfloat16" if plan.autocast else "float32"
    assert [graph.spec(ref).dtype for ref in graph.outputs] == ["float16", "bfloat16", outer]


def _function(device: str, cast: torch.dtype | None) -> Any:
    class Product(torch.autograd.Function):
        @staticmethod
        @torch.amp.custom_fwd(device_type=device, cast_inputs=cast)
        def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
            return x @ w

        @staticmethod
        @torch.amp.custom_bwd(device_type=device)
        def backward(ctx: Any, g: torch.Tensor) -> Any:
            return g, g

    return Product


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("cast", [torch.float32, F16, None])
@pytest.mark.parametrize("on", [True, False])
def test_custom_fwd_casts_inside_a_region_only(device: str, cast: torch.dtype | None, on: bool) -> None:
    plan = Plan(device="cpu", autocast=f"{device}:bfloat16" if on else None)
    product = _function(device, cast)

    def run(x: torch.Tensor) -> Any:
        return product.apply(x, x.t())

    real = _function("cpu", cast)
    with torch.autocast("cpu", dtype=BF16, enabled=on):
        expected = real.apply(X, X.t()).dtype
    graph = capture(from_callable(run, (X,), None), plan).graph
    assert [graph.spec(r).dtype for r in graph.outputs] == [str(expected).removeprefix("torch.")]


def test_scope_forward_covers_forward_alone_and_widens_its_outputs_as_accelerate_does() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4)

        def embed(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x)  # type: ignore[no-any-return]

        def forward(self, x: torch.Tensor) -> dict[str, Any]:
            y = self.embed(x)
            return {"y": y, "more": (y.float(), [y])}

    module = Model()
    loaded = from_callable(module, (X,), None)
    for scope, dtypes in {"forward": ["float32"] * 4, "run": ["bfloat16", "float32", "bfloat16", "bfloat16"]}.items():
        plan = Plan(autocast="cuda:bfloat16", scope=scope)
        given = type(loaded)(module, "", "", {}, lambda m, _: (m(X), m.embed(X)))
        graph = capture(given, plan).graph
        assert [graph.spec(ref).dtype for ref in graph.outputs] == dtypes
        assert sum(n.inserted == "accelerate" for n in graph) == (2 if scope == "forward" else 0)
    assert "forward" not in vars(module)


def test_a_refusal_of_autocast_itself_is_a_refused_call_in_its_words() -> None:
    def run(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.binary_cross_entropy(x.sigmoid(), x.sigmoid()) + 1

    graph = capture(from_callable(run, (X,), None), Plan(autocast="cuda:bfloat16")).graph
    refused = [n for n in graph if n.refused]
    assert [n.call for n in refused] == ["binary_cross_entropy"]
    assert "unsafe to autocast" in refused[0].refused


@pytest.mark.parametrize("text", ["cuda", "gpu:bf16", "cuda:int8", "cuda:nonsense", ":bf16"])
def test_a_text_that_is_no_autocast_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(AnalyzerError) as raised:
        Plan(autocast=text)
    assert raised.value.hint
    with pytest.raises(AnalyzerError, match="scope"):
        Plan(scope="backward")
