"""Which operands of an operation can give a result its dtype, and which results have one whatever is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer.ir.graph import CALLED, Arg, Node, Ref, refs

PLACES: Final[Mapping[str, tuple[int, ...]]] = {
    "_ctc_loss": (1, 2, 3),
    "_embedding_bag": (1, 2),
    "_embedding_bag_forward_only": (1, 2),
    "_grouped_mm": (2,),
    "_index_put_impl": (1,),
    "_unsafe_index": (1,),
    "_unsafe_index_put": (1,),
    "_unsafe_masked_index": (1, 2),
    "embedding": (1,),
    "embedding_dense_backward": (1,),
    "gather": (2,),
    "index": (1,),
    "index_add": (2,),
    "index_copy": (2,),
    "index_fill": (2,),
    "index_put": (1,),
    "index_reduce": (2,),
    "index_select": (2,),
    "masked_fill": (1,),
    "masked_scatter": (1,),
    "masked_select": (1,),
    "max_unpool2d": (1,),
    "max_unpool3d": (1,),
    "multi_margin_loss": (1,),
    "multilabel_margin_loss_forward": (1,),
    "nll_loss2d_forward": (1,),
    "nll_loss_forward": (1,),
    "put": (1,),
    "repeat_interleave": (1,),
    "scatter": (2,),
    "scatter_add": (2,),
    "scatter_reduce": (2,),
    "segment_reduce": (2, 3, 4),
    "take": (1,),
    "where": (0,),
}
"""Operation -> the arguments that say where, which or how many: an index, a mask, a length."""
_CALLS: Final[Mapping[str, tuple[int, ...]]] = {
    **PLACES,
    "__getitem__": (1,),
    "__setitem__": (1,),
    "cross_entropy": (1,),
    "embedding": (0,),
    "embedding_bag": (0, 2),
    "grouped_mm": (2,),
    "nll_loss": (1,),
    "take_along_dim": (1,),
}
"""As `PLACES`, for a function as a person calls it."""
_NAMED: Final = frozenset({"condition", "index", "indices", "lengths", "mask", "offs", "offsets", "per_sample_index"})
"""Names of such arguments."""
_ALL: Final = None
_SECOND: Final = (1,)
FIXED: Final[Mapping[str, tuple[int, ...] | None]] = {
    **dict.fromkeys(
        (
            "eq", "ge", "gt", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "le", "logical_and",
            "logical_not", "logical_or", "logical_xor", "lt", "ne", "signbit",
            "argmax", "argmin", "argsort", "argwhere", "bincount", "bucketize", "count_nonzero", "multinomial",
            "nonzero", "nonzero_static", "searchsorted",
            "arange", "linspace", "logspace",
        ),
        _ALL,
    ),
    **dict.fromkeys(
        (
            "_cummax_helper", "_cummin_helper", "adaptive_max_pool2d", "adaptive_max_pool3d", "cummax", "cummin",
            "fractional_max_pool2d", "fractional_max_pool3d", "kthvalue", "max", "max_pool2d_with_indices",
            "max_pool3d_with_indices", "median", "min", "mode", "nanmedian", "sort", "topk",
        ),
        _SECOND,
    ),
    **dict.fromkeys(("_unique2", "unique_consecutive", "unique_dim"), (1, 2)),
    "_embedding_bag": (1, 2, 3),
    "_embedding_bag_forward_only": (1, 2, 3),
}  # fmt: skip
"""Operation -> the results that have a dtype of their own: masks, positions, counts; None is all of them."""


_INTO: Final = frozenset({
    "as_strided_scatter", "diagonal_scatter", "index_add", "index_copy", "index_fill", "index_put", "index_reduce",
    "masked_fill", "masked_scatter", "put", "scatter", "scatter_add", "scatter_reduce", "select_scatter",
    "slice_scatter",
})  # fmt: skip
"""Operations whose result is their first argument with something written into it."""

_AUGMENTED: Final = frozenset({
    "__iadd__", "__iand__", "__idiv__", "__ifloordiv__", "__ilshift__", "__imatmul__", "__imod__", "__imul__",
    "__ior__", "__ipow__", "__irshift__", "__isub__", "__itruediv__", "__ixor__", "__setitem__",
})  # fmt: skip
"""Methods that Python calls for `x += y` and `x[i] = y`."""


def writes_into_first(call: str) -> bool:
    """Whether a function as a person calls it writes into its first argument, by its name."""
    return call in _AUGMENTED or (call.endswith("_") and not call.endswith("__"))


def base(node: Node) -> str:
    """The bare name of an operation, the same for the form that writes in place: "add" of "aten.add_.Tensor"."""
    name = node.op.removeprefix(CALLED)
    return (name if node.op.startswith(CALLED) else [*name.split("."), name][1]).rstrip("_")


def deciding(node: Node, result: int = 0) -> tuple[Ref, ...]:
    """The operands that can give a result its dtype: of a write in place, what is written into.

    No index, mask or length is among them, and there is none for a result whose dtype is always the same.
    """
    name = base(node)
    if name in FIXED and ((numbers := FIXED[name]) is None or result in numbers):
        return ()
    written = _written(node, result)
    return (written,) if written else valued(node)


def valued(node: Node) -> tuple[Ref, ...]:
    """The operands that an operation computes with; without those that only say where, which or how many."""
    table = _CALLS if node.op.startswith(CALLED) else PLACES
    places = table.get(base(node), ())
    args = tuple(arg for number, arg in enumerate(node.args) if number not in places)
    named = tuple(arg for name, arg in node.kwargs if name not in _NAMED)
    if len(args) == len(node.args) and len(named) == len(node.kwargs):
        return node.operands()
    return tuple(refs((args, named)))


def _written(node: Node, result: int) -> Ref | None:
    """What an operation that writes in place, or into `out`, gives back."""
    target: Arg = dict(node.kwargs).get("out")
    name = node.op.split(".")[1] if node.op.startswith("aten.") else ""
    if node.args and ((name.endswith("_") and not name.endswith("__")) or name in _INTO):
        target = node.args[0]
    if type(target) is tuple and result < len(target):
        target = target[result]
    return target if type(target) is Ref else None
