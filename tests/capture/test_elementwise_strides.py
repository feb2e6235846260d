"""How elementwise results and casts lie in memory, as a law against the real kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture.strides.elementwise import Form, elementwise_stride, preserved_stride
from analyzer.capture.strides.results import forms
from analyzer.capture.tensor import Abstract, Cell, spec_of
from analyzer.ir.graph import Ref

DTYPES = (torch.bfloat16, torch.float32, torch.int32)


@st.composite
def views(draw: st.DrawFn, shape: tuple[int, ...]) -> torch.Tensor:
    """A real tensor of this shape, its dimensions in any order in memory, perhaps with gaps."""
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from((1, 1, 2))) for _ in shape]
    base = torch.zeros([shape[at] * steps[at] for at in order], dtype=draw(st.sampled_from(DTYPES)))
    whole = base.permute([order.index(at) for at in range(len(shape))])
    return whole[tuple(slice(0, None, step) for step in steps)]


shapes = st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple)
pairs = shapes.flatmap(
    lambda shape: st.tuples(
        views(shape), st.tuples(*[st.sampled_from((1, size)) for size in shape]).flatmap(lambda other: views(other))
    )
)


def _form(tensor: torch.Tensor) -> Form:
    return tuple(tensor.shape), tensor.stride()


@given(shapes.flatmap(views))
@settings(max_examples=150, deadline=None)
def test_a_cast_lies_as_the_real_one(tensor: torch.Tensor) -> None:
    assert preserved_stride(_form(tensor)) == tensor.to(torch.float64).stride()


@given(pairs)
@settings(max_examples=150, deadline=None)
def test_a_product_of_mixed_operands_lies_as_the_real_one(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    real = torch.mul(*pair)
    operands = tuple(Abstract.make(spec_of(t), t.stride(), Ref("x"), Cell()) for t in pair)
    meta = torch.mul(*(torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="meta") for t in pair))
    assert forms(torch.ops.aten.mul.Tensor, operands, {}, [meta]) == [_form(real)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_of_one_dtype_keep_their_own_order(dtype: torch.dtype) -> None:
    one = torch.empty_strided((1, 4, 12, 4), (768, 16, 64, 2), dtype=dtype)
    other = torch.empty_strided((1, 1, 12, 4), (96, 96, 8, 1), dtype=dtype)
    assert elementwise_stride((1, 4, 12, 4), [_form(one), _form(other)]) == (one * other).stride()


BY_A_NUMBER = ("add", "sub", "mul", "div", "eq", "lt", "remainder", "fmod", "rsub", "copysign", "floor_divide")


@given(shapes.flatmap(views), st.sampled_from(BY_A_NUMBER))
@settings(max_examples=150, deadline=None)
def test_a_result_with_a_number_lies_as_the_real_one(tensor: torch.Tensor, name: str) -> None:
    _check(getattr(torch.ops.aten, name).Scalar, tensor)


@given(shapes.flatmap(views))
@settings(max_examples=50, deadline=None)
def test_a_power_lies_as_the_real_one(tensor: torch.Tensor) -> None:
    _check(torch.ops.aten.pow.Tensor_Scalar, tensor)


def _check(function: Any, tensor: torch.Tensor) -> None:
    operand = Abstract.make(spec_of(tensor), tensor.stride(), Ref("x"), Cell())
    meta = function(torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta"), 2)
    assert forms(function, (operand, 2), {}, [meta]) == [_form(function(tensor, 2))]
