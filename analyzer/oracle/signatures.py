"""The calls on which devices may differ: operations, shapes and dtypes to try, for a recorder to put to a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from analyzer.ir import walk
from analyzer.ir.graph import Spec

FLOATS: Final = ("float32", "bfloat16", "float16", "float64")
HALVES: Final = ("float32", "bfloat16", "float16")
F8: Final = ("float8_e4m3fn", "float8_e5m2")
VARIED: Final = ("A", "B", "C", "D")
"""Names that stand for a dtype to try; operands under one name share it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One call but for its dtypes: `args` and `kwargs` hold `Spec`s whose dtype is a letter where it varies."""

    op: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...] = ()
    floats: tuple[str, ...] = FLOATS
    static: tuple[str, ...] = ()
    """Names of the arguments that a row keeps beside the dtypes."""
    column_major: tuple[int, ...] = ()
    """Positions of matrices that the operation wants transposed in memory."""

    def letters(self) -> tuple[str, ...]:
        """The dtypes that vary, in the order in which they appear."""
        return tuple(dict.fromkeys(s.dtype for s in walk.leaves((self.args, self.kwargs), Spec) if s.dtype in VARIED))

    def calls(self) -> Iterator[dict[str, str]]:
        """Every choice of dtypes to try."""
        letters = self.letters()
        for chosen in product(self.floats, repeat=len(letters)):
            yield dict(zip(letters, chosen, strict=True))


def fill(arg: object, chosen: Sequence[str] | dict[str, str]) -> Any:
    """An argument with dtypes filled in: by letter, or one for each tensor in order."""
    if isinstance(chosen, dict):
        return walk.changed(arg, Spec, lambda spec: Spec(chosen.get(spec.dtype, spec.dtype), spec.shape))
    in_order = iter(chosen)
    return walk.changed(arg, Spec, lambda spec: Spec(next(in_order), spec.shape))


def _a(*shape: int) -> Spec:
    return Spec("A", shape)


def _b(*shape: int) -> Spec:
    return Spec("B", shape)


def _c(*shape: int) -> Spec:
    return Spec("C", shape)


def _i(*shape: int) -> Spec:
    return Spec("int64", shape)


_CONV: Final = ((1,), (0,), (1,), False, (0,), 1)
_ALL: Final = (True, True, True)
_Q: Final = (1, 2, 8, 8)

NORMS: Final = (
    Signature("aten.native_layer_norm.default", (_a(2, 16), (16,), _b(16), _c(16), 1e-5)),
    Signature("aten.native_layer_norm.default", (_a(2, 16), (16,), _b(16), None, 1e-5)),
    Signature("aten.native_layer_norm.default", (_a(2, 16), (16,), None, None, 1e-5)),
    Signature(
        "aten.native_layer_norm_backward.default",
        (_a(2, 16), _a(2, 16), (16,), _b(2, 1), _b(2, 1), _c(16), _c(16), _ALL),
    ),
    Signature(
        "aten.native_layer_norm_backward.default",
        (_a(2, 16), _a(2, 16), (16,), _b(2, 1), _b(2, 1), _c(16), None, (True, True, False)),
    ),
    Signature(
        "aten.native_layer_norm_backward.default",
        (_a(2, 16), _a(2, 16), (16,), _b(2, 1), _b(2, 1), None, None, (True, False, False)),
    ),
    Signature("aten.native_group_norm.default", (_a(2, 4, 8), _b(4), _c(4), 2, 4, 8, 2, 1e-5)),
    Signature("aten.native_group_norm.default", (_a(2, 4, 8), _b(4), None, 2, 4, 8, 2, 1e-5)),
    Signature("aten.native_batch_norm.default", (_a(2, 4, 8), _b(4), _b(4), _c(4), _c(4), True, 0.1, 1e-5)),
    Signature("aten.native_batch_norm.default", (_a(2, 4, 8), None, None, _b(4), _b(4), True, 0.1, 1e-5)),
    Signature("aten.native_batch_norm.default", (_a(2, 4, 8), _b(4), _b(4), None, None, True, 0.1, 1e-5)),
    Signature(
        "aten.native_batch_norm_backward.default",
        (_a(2, 4, 8), _a(2, 4, 8), _b(4), _b(4), _b(4), _c(4), _c(4), True, 1e-5, _ALL),
    ),
    Signature(
        "aten.native_batch_norm_backward.default",
        (_a(2, 4, 8), _a(2, 4, 8), _b(4), None, None, _c(4), _c(4), True, 1e-5, _ALL),
    ),
)
PRODUCTS: Final = (
    Signature("aten.mm.default", (_a(16, 16), _b(16, 16)), floats=(*FLOATS, *F8)),
    Signature("aten.addmm.default", (_a(16), _b(16, 16), _c(16, 16)), floats=(*HALVES, *F8)),
    Signature("aten.bmm.default", (_a(2, 16, 16), _b(2, 16, 16)), floats=(*FLOATS, *F8)),
    Signature("aten.baddbmm.default", (_a(2, 16, 16), _b(2, 16, 16), _c(2, 16, 16)), floats=HALVES),
    Signature("aten.mv.default", (_a(16, 16), _b(16))),
    Signature("aten.dot.default", (_a(16), _b(16))),
    Signature(
        "aten._scaled_mm.default",
        (_a(16, 16), _b(16, 16), Spec("float32"), Spec("float32")),
        floats=F8,
        column_major=(1,),
    ),
    Signature("aten.mul.Tensor", (_a(16), _b(16)), floats=(*FLOATS, *F8)),
    Signature("aten.add.Tensor", (_a(16), _b(16)), floats=(*FLOATS, *F8)),
)
CONVOLUTIONS: Final = (
    Signature("aten.convolution.default", (_a(1, 4, 8), _b(4, 4, 3), None, *_CONV), static=("groups",)),
    Signature("aten.convolution.default", (_a(1, 4, 8), _b(4, 4, 3), _c(4), *_CONV), static=("groups",)),
    Signature("aten.grid_sampler_2d.default", (_a(1, 1, 4, 4), _b(1, 2, 2, 2), 0, 0, False)),
    Signature("aten.grid_sampler_3d.default", (_a(1, 1, 4, 4, 4), _b(1, 2, 2, 2, 3), 0, 0, False)),
)
INDEXING: Final = (
    *(
        Signature(f"aten.{op}.default", (_a(4), (_i(2),), _b(2), accumulate), static=("accumulate",))
        for op in ("index_put", "index_put_")
        for accumulate in (False, True)
    ),
    *(
        Signature(f"aten.{op}.default", (_a(4), Spec("bool", (4,)), _b(4)))
        for op in ("masked_scatter", "masked_scatter_")
    ),
    Signature("aten.scatter.src", (_a(4), 0, _i(2), _b(2))),
    Signature("aten.scatter_add.default", (_a(4), 0, _i(2), _b(2))),
    Signature("aten.scatter_reduce.two", (_a(4), 0, _i(2), _b(2), "sum")),
    Signature("aten.index_add.default", (_a(4), 0, _i(2), _b(2))),
    Signature("aten.index_copy.default", (_a(4), 0, _i(2), _b(2))),
    Signature("aten.put.default", (_a(4), _i(2), _b(2))),
)
ATTENTION: Final = (
    Signature(
        "aten._scaled_dot_product_flash_attention_for_cpu.default",
        (_a(*_Q), _a(*_Q), _a(*_Q)),
        (("attn_mask", _b(8, 8)),),
        HALVES,
    ),
    Signature("aten._scaled_dot_product_flash_attention.default", (_a(*_Q), _b(*_Q), _c(*_Q))),
    Signature(
        "aten._flash_attention_forward.default",
        (_a(*_Q), _a(*_Q), _a(*_Q), None, None, 8, 8, 0.0, False, False),
    ),
    Signature(
        "aten._scaled_dot_product_efficient_attention.default",
        (_a(*_Q), _a(*_Q), _a(*_Q), _b(1, 2, 8, 8), False),
        floats=HALVES,
    ),
)
SIGNATURES: Final = (*NORMS, *PRODUCTS, *CONVOLUTIONS, *INDEXING, *ATTENTION)
