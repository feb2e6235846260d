"""The oracle against the real kernels: dtypes, refusals, and calls that fail for other reasons."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer import oracle
from analyzer.ir.graph import Spec
from analyzer.oracle import Dtypes, Refused, Unanswered, ask, overload

FLOATS = ("float16", "bfloat16", "float32", "float64")
floats = st.sampled_from(FLOATS)
BINARY = ("aten.add.Tensor", "aten.mul.Tensor", "aten.mm.default", "aten.where.self", "aten.bmm.default")


def _real(op: str, shapes: list[tuple[int, ...]], dtypes: list[str]) -> str | tuple[str, ...]:
    operands = [torch.ones(s, dtype=getattr(torch, d)) for s, d in zip(shapes, dtypes, strict=True)]
    try:
        return (str(overload(op)(*operands).dtype).removeprefix("torch."),)
    except RuntimeError as error:
        return str(error)


@given(op=st.sampled_from(BINARY), a=floats, b=floats, n=st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_answers_what_the_kernel_answers_at_the_real_size(op: str, a: str, b: str, n: int) -> None:
    shapes = {"aten.mm.default": [(n, n)] * 2, "aten.bmm.default": [(2, n, n)] * 2}.get(op, [(n, 3)] * 2)
    dtypes = [a, b]
    if op == "aten.where.self":
        shapes, dtypes = [(n, 3)] * 3, ["bool", a, b]
    answer = ask(op, tuple(Spec(d, s) for d, s in zip(dtypes, shapes, strict=True)))
    real = _real(op, shapes, dtypes)
    assert answer == (Dtypes(real) if isinstance(real, tuple) else Refused(real))


def test_the_seeds_call_is_refused_in_the_kernels_words() -> None:
    bias, weight = Spec("bfloat16", (2304,)), Spec("bfloat16", (2304, 2304))
    answer = ask("aten.addmm.default", (bias, Spec("float32", (64, 2304)), weight))
    assert answer == Refused("mat1 and mat2 must have the same dtype, but got Float and BFloat16")


@pytest.mark.parametrize("op", ["aten.mm.default", "aten.bmm.default"])
def test_a_wrong_shape_is_no_refusal(op: str) -> None:
    oracle._ANSWERS.clear()  # signatures are shared by shapes, and this shape is one no model runs with
    rank = 2 if op == "aten.mm.default" else 3
    answer = ask(op, (Spec("float32", (2,) * rank), Spec("bfloat16", (3,) * rank)))
    assert isinstance(answer, Unanswered)


def test_zero_dimensional_operands_do_not_promote() -> None:
    assert ask("aten.mul.Tensor", (Spec("bfloat16", (2,)), Spec("float32"))) == Dtypes(("bfloat16",))
    assert ask("aten.mul.Tensor", (Spec("bfloat16", (2,)), Spec("float32", (1,)))) == Dtypes(("float32",))


@pytest.mark.parametrize("mask", [(3,), (3, 2)], ids=str)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("source", [torch.float32, torch.bfloat16], ids=str)
def test_values_put_by_a_mask_are_judged_as_the_kernel_does(
    mask: tuple[int, ...], count: int, source: torch.dtype
) -> None:
    real, chosen = torch.zeros(3, 2, dtype=torch.bfloat16), torch.zeros(mask, dtype=torch.bool)
    chosen.view(-1)[:count] = True
    values = torch.ones((count, *real.shape[len(mask) :]), dtype=source)
    try:
        real.index_put_([chosen], values)
        said = ""
    except RuntimeError as error:
        said = str(error)
    specs = (Spec("bfloat16", (3, 2)), (Spec("bool", mask),), Spec(str(source)[6:], tuple(values.shape)))
    answer = oracle.ask("aten.index_put_.default", specs)
    assert (answer.message if isinstance(answer, oracle.Refused) else "") == said
