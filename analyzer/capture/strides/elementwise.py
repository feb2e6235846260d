"""How the result of an elementwise kernel lies in memory, where its operands differ in theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

Form = tuple[tuple[int, ...], tuple[int, ...]]
"""Shape, and stride in elements."""

_CHANNELS_LAST: Final = (1, 3, 2, 0)
"""The dimensions of images whose channels lie innermost, as a kernel takes them before it compares strides."""


def elementwise_stride(shape: tuple[int, ...], operands: Sequence[Form]) -> tuple[int, ...]:
    """The stride (elements) of a new result of this shape, as TensorIterator allocates it.

    From aten/src/ATen/TensorIterator.cpp: where all operands lie alike, so does the result; else its dimensions are
    sorted by the strides of the operands, of which the first that tells two dimensions apart decides.

    >>> elementwise_stride((2, 3), [((2, 3), (3, 1)), ((2, 3), (1, 2))])
    (3, 1)
    >>> elementwise_stride((2, 3), [((2, 1), (1, 1)), ((2, 3), (1, 2))])
    (1, 2)
    """
    if all(sizes == shape for sizes, _ in operands):
        for order in (range(len(shape))[::-1], *([_CHANNELS_LAST] if len(shape) == len(_CHANNELS_LAST) else ())):
            if all(_is_packed(shape, stride, order) for _, stride in operands):
                return _packed(shape, order)
        first = operands[0][1]
        if all(stride == first for _, stride in operands) and _is_dense(*operands[0]):
            return first
    return _packed(shape, _sorted(shape, [_over(shape, form) for form in operands]))


def _sorted(shape: tuple[int, ...], strides: list[tuple[int, ...]]) -> list[int]:
    """The dimensions in the order in which TensorIterator lays them, the innermost first."""
    order = list(reversed(range(len(shape))))
    for end in range(1, len(order)):
        at = end
        for before in reversed(range(end)):
            swap = _compared(order[before], order[at], shape, strides)
            if swap > 0:
                order[before], order[at] = order[at], order[before]
                at = before
            elif swap < 0:
                break
    return order


def preserved_stride(operand: Form) -> tuple[int, ...]:
    """The stride (elements) of `torch.empty_like` and of a cast: the operand's own, unless it has gaps or overlaps."""
    return operand[1] if _is_dense(*operand) else elementwise_stride(operand[0], [operand])


def _packed(shape: tuple[int, ...], order: Iterable[int]) -> tuple[int, ...]:
    """The stride of a tensor without gaps whose dimensions lie in this order, the innermost first."""
    made, step = [0] * len(shape), 1
    for dim in order:
        made[dim] = step
        step *= max(shape[dim], 1)
    return tuple(made)


def _over(shape: tuple[int, ...], operand: Form) -> tuple[int, ...]:
    """The stride of an operand that is spread over a larger shape."""
    sizes, stride = operand
    missing = len(shape) - len(sizes)
    spread = [0 if n == 1 and shape[missing + i] != 1 else stride[i] for i, n in enumerate(sizes)]
    return (0,) * missing + tuple(spread)


def _compared(first: int, second: int, shape: tuple[int, ...], strides: list[tuple[int, ...]]) -> int:
    """Negative if dimension `first` goes inside of `second`, positive if the other way, 0 if no operand can tell."""
    for stride in strides:
        a, b = stride[first], stride[second]
        if a == 0 or b == 0:
            continue
        if a != b:
            return -1 if a < b else 1
        if shape[first] > shape[second]:
            return 1
    return 0


def _is_dense(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether a tensor fills its memory without gaps or overlaps, in some order of its dimensions."""
    return _is_packed(shape, stride, sorted(range(len(stride)), key=lambda dim: stride[dim]))


def _is_packed(shape: tuple[int, ...], stride: tuple[int, ...], order: Iterable[int]) -> bool:
    """Whether a tensor fills its memory without gaps or overlaps, its dimensions in this order from the inside."""
    step = 1
    for dim in order:
        if shape[dim] != 1:
            if stride[dim] != step:
                return False
            step *= shape[dim]
    return True
