"""What runs wide without a cast is counted as a real run on the CPU counts it; what is meant to be wide is quiet."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig

import analyzer
from analyzer.ir.findings import Finding
from analyzer.ir.plan import Plan
from analyzer.propagate import propagate
from analyzer.rules import check
from analyzer.rules.regions import PRODUCTS
from analyzer.running.forward import capture, from_callable

Tensor = torch.Tensor
BF16, F32 = torch.bfloat16, torch.float32


class Counted(TorchDispatchMode):
    """Counts the products of a real run by the dtype that they give."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[torch.dtype] = []

    def __torch_dispatch__(
        self, func: object, types: object, args: tuple[object, ...] = (), kwargs: object = None
    ) -> object:
        result = func(*args, **(kwargs or {}))  # type: ignore[operator, dict-item]
        if str(func).split(".")[1] in PRODUCTS:
            self.products.append((result[0] if isinstance(result, tuple) else result).dtype)
        return result


def found(module: Callable[..., object], *args: Tensor, code: str = "DT201") -> list[Finding]:
    """Findings of one rule."""
    plan = Plan(device="cpu")
    return [f for f in check(propagate(capture(from_callable(module, args, {}), plan).graph, plan)) if f.code == code]


class Norm(nn.Module):
    """As in many models: computes in float32 and casts back."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return self.weight.to(x.dtype) * (wide * wide.pow(2).mean(-1, keepdim=True).rsqrt()).to(x.dtype)


class Follows(nn.Linear):
    """A product that follows its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.to(x.dtype).t()


class Layer(nn.Module):
    """A layer, with scores that make its result wide unless they are cast."""

    def __init__(self, narrows: bool, ends: bool) -> None:
        super().__init__()
        self.narrows, self.ends = narrows, ends
        self.norm, self.one, self.two, self.gate = Norm(), Follows(8, 8), Follows(8, 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores = (x.float() @ self.gate.weight.float().t()).sigmoid()
        made = self.two(self.one(self.norm(x)).relu())
        made = made * (scores.to(x.dtype) if self.narrows else scores)
        return x + (made.to(BF16) if self.ends else made)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("wide", [0, 1])
def test_products_that_run_wide_are_counted_as_they_really_run(layers: int, wide: int) -> None:
    model = nn.Sequential(*(Layer(narrows=number != wide, ends=False) for number in range(layers))).to(BF16)
    x = torch.ones(2, 8).to(BF16)
    with Counted() as real, torch.no_grad():
        model(x)

    gates = layers  # which are float32 by name
    really = sum(dtype == F32 for dtype in real.products) - gates
    told = [f for f in found(model, x) if f.severity == "warning"]

    counted = [int(n) for f in told for n in re.findall(r"(\d+) of \d+ products? among", f.message)]
    assert (sum(counted), bool(told)) == (really, really > 0)
    if counted:
        assert f"of {len(real.products)} products" in told[0].message


def test_scores_that_are_cast_back_beside_the_experts_are_quiet() -> None:
    model = nn.Sequential(*(Layer(narrows=False, ends=True) for _ in range(3))).to(BF16)

    assert [f for f in found(model, torch.ones(2, 8).to(BF16)) if f.severity == "warning"] == []


class Attention(nn.Module):
    """Scores of one head; `how` says what is wide in it, and why."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.qkv = how, nn.Linear(8, 24)
        self.scale = nn.Parameter(torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        table = torch.ones(x.shape[0], 8)
        if self.how in ("table", "table, cast"):
            q, k = (t * (table.to(x.dtype) if self.how == "table, cast" else table) for t in (q, k))
        elif self.how == "float32 by name":
            q, k = q.float() * self.scale, k.float()
        elif self.how == "parameter":
            q, k = q * self.scale, k * self.scale
        scores = q @ k.t()
        return scores.softmax(-1, dtype=F32).to(v.dtype) @ v


@pytest.mark.parametrize(
    ("how", "is_told"),
    [("table", True), ("table, cast", False), ("float32 by name", False), ("parameter", True), ("softmax", False)],
)
def test_a_product_that_nobody_cast_is_a_warning_although_the_module_casts_back(how: str, is_told: bool) -> None:
    model = Attention(how).to(BF16)
    if how == "parameter":
        model.scale.data = model.scale.data.float()

    with Counted() as real, torch.no_grad():
        model(torch.ones(2, 8).to(BF16))
    told = [f for f in found(model, torch.ones(2, 8).to(BF16)) if f.severity == "warning"]

    assert bool(told) == is_told
    assert is_told <= (F32 in real.products)


class Stream(nn.Module):
    """A residual stream, float32 from its embedding on, or made so by a parameter in its midst."""

    def __init__(self, embedded: bool) -> None:
        super().__init__()
        self.embedded, self.embed, self.fc = embedded, nn.Embedding(4, 8), nn.Linear(8, 8)
        self.bias = nn.Parameter(torch.zeros(2, 8))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        x = x.float() if self.embedded else x + self.bias
        for _ in range(3):
            x = x + self.fc(x.to(BF16))
        return x


@pytest.mark.parametrize("embedded", [True, False])
def test_a_stream_that_is_wide_from_its_embedding_on_is_no_finding(embedded: bool) -> None:
    model = Stream(embedded).to(BF16)
    model.bias.data = model.bias.data.float()
    ids = torch.zeros(2, dtype=torch.int64)

    assert model(ids).dtype == F32
    assert [f.severity for f in found(model, ids)] == ([] if embedded else ["warning"])


def test_an_embedding_that_is_stored_in_float32_starts_such_a_stream() -> None:
    model = Stream(embedded=True).to(BF16)
    model.embed.float()

    assert found(model, torch.zeros(2, dtype=torch.int64)) == []


def test_norms_in_float32_do_not_end_such_a_stream() -> None:
    class Normed(Stream):
        def __init__(self) -> None:
            super().__init__(embedded=True)
            self.norm = nn.Parameter(torch.ones(8))

        def forward(self, ids: Tensor) -> Tensor:
            x = self.embed(ids)
            for _ in range(2):
                h = self.norm * (x * x.pow(2).mean(-1, keepdim=True).rsqrt())
                x = x + self.fc(h.to(BF16))
            return x

    model = Normed()
    model.fc.to(BF16)
    ids = torch.zeros(2, dtype=torch.int64)
    with Counted() as real:
        model(ids)

    assert found(model, ids) == []
    assert set(real.products) == {BF16}


@pytest.mark.parametrize("how", ["table", "cast", "narrow"])
def test_a_product_in_float64_that_nobody_cast_is_a_warning_although_it_is_cast_back(how: str) -> None:
    table = torch.ones(8, dtype=torch.float64)

    class Scaled(nn.Module):
        def forward(self, x: Tensor, w: Tensor) -> Tensor:
            h = {"table": lambda: x * table, "cast": lambda: x.double() * 2, "narrow": lambda: x * table.to(x.dtype)}[
                how
            ]()
            return (h @ w.to(h.dtype)).to(x.dtype)

    args = torch.ones(2, 8), torch.ones(8, 8)
    with Counted() as real:
        Scaled()(*args)

    assert (torch.float64 in real.products) == (how != "narrow")
    is_told = [f.severity for f in found(Scaled(), *args, code="DT202") if f.severity == "warning"]
    assert is_told == ["warning"] * (how == "table")


def test_all_sources_of_what_meets_are_named() -> None:
    def run(x: Tensor, one: Tensor, two: Tensor) -> Tensor:
        return (x * one) @ (x + two).t()

    x = torch.ones(4, 4).to(BF16)
    (finding,) = found(run, x, torch.ones(4), torch.ones(4))

    assert [o.name for operand in finding.operands for o in operand.origins if o.dtype == "float32"] == [
        "args.1", "args.2",
    ]  # fmt: skip


class Head(nn.Module):
    """Logits over a vocabulary, handled in some way."""

    def __init__(self, how: str, vocabulary: int) -> None:
        super().__init__()
        self.how, self.head = how, nn.Linear(2, vocabulary, bias=False, dtype=BF16)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        logits = self.head(x)
        if self.how == "capped":
            logits = 30 * torch.tanh(logits / 30)
        if self.how in ("plain", "capped", "shifted"):
            logits = logits.float()
        if self.how == "last":
            return logits[-1:].float()
        if self.how in ("results", "narrow"):
            return logits.float() * 2 if self.how == "results" else logits
        if self.how == "shifted":
            return F.cross_entropy(logits[:-1], labels[1:])
        if self.how == "in the loss":
            return F.cross_entropy(logits[:-1].float(), labels[1:])
        return F.cross_entropy(logits, labels)


@pytest.mark.parametrize("how", ["plain", "capped", "shifted", "in the loss", "results", "last", "narrow"])
def test_wide_logits_are_told_with_the_bytes_that_they_really_take(how: str) -> None:
    model, x, labels = Head(how, 100), torch.ones(32, 2).to(BF16), torch.zeros(32, dtype=torch.int64)
    wide: list[int] = []

    class Casts(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: object, types: object, args: tuple[object, ...] = (), kwargs: object = None
        ) -> object:
            result = func(*args, **(kwargs or {}))  # type: ignore[operator, dict-item]
            if "_to_copy" in str(func):
                wide.append(result.nbytes)
            return result

    with Casts(), torch.no_grad():
        model(x, labels)
    told = found(model, x, labels, code="DT302")

    assert [f.widened_bytes for f in told] == ([] if how in ("last", "narrow") else wide)


def test_large_logits_are_a_warning_and_small_ones_a_note() -> None:
    x, labels = torch.ones(1024, 2).to(BF16), torch.zeros(1024, dtype=torch.int64)

    severities = [found(Head("plain", n).to("meta"), x, labels, code="DT302")[0].severity for n in (65_535, 65_536)]
    assert severities == ["note", "warning"]


@pytest.mark.parametrize("small", [torch.float8_e4m3fn, BF16])
@pytest.mark.parametrize("scaled", [True, False])
def test_a_pair_of_scaled_casts_is_no_round_trip(small: torch.dtype, scaled: bool) -> None:
    def run(x: Tensor, scale: Tensor) -> Tensor:
        narrow = (x / scale).clamp(-448, 448).to(small) if scaled else x.to(small)
        return narrow.to(F32) * scale if scaled else narrow.to(F32) + 1

    assert bool(found(run, torch.ones(4, 4), torch.ones(4, 1), code="DT301")) is not scaled


def test_logits_of_a_made_up_text_are_counted_for_the_longest_one_too(tmp_path: Path) -> None:
    config = LlamaConfig(
        architectures=["LlamaForCausalLM"], num_hidden_layers=1, hidden_size=8, intermediate_size=8,
        num_attention_heads=2, num_key_value_heads=2, vocab_size=50, max_position_embeddings=4096,
    )  # fmt: skip
    config.save_pretrained(tmp_path)

    report = analyzer.trace(tmp_path, plan=Plan(device="cpu", dtype="bfloat16", train=True))

    (told,) = [f for f in report.findings if f.code == "DT302"]
    assert told.message.endswith(f"{16 * 50 * 4:,} bytes more, {4096 * 50 * 4:,} for 4,096 tokens")
