"""Checks that a model may make in Python: of a dtype in several forms, and of something else."""

from __future__ import annotations

import torch


def by_if(x: torch.Tensor) -> None:
    if x.dtype != torch.bfloat16:
        raise ValueError("only bf16")


def by_assert(x: torch.Tensor) -> None:
    assert x.dtype in (torch.bfloat16, torch.float16), "only halves"


def by_method(x: torch.Tensor) -> None:
    if x.is_floating_point():
        raise TypeError("only integers")


def by_else(x: torch.Tensor) -> None:
    if x.dtype == torch.bfloat16:
        return
    else:
        raise ValueError("only bf16")


def by_assert_alone(x: torch.Tensor) -> None:
    assert x.dtype == torch.bfloat16


def by_class_alone(x: torch.Tensor) -> None:
    if x.dtype != torch.bfloat16:
        raise ValueError


def by_empty_words(x: torch.Tensor) -> None:
    if x.is_floating_point():
        raise NotImplementedError("")


def by_torch_assert(x: torch.Tensor) -> None:
    torch._assert(x.dtype == torch.bfloat16, "only bf16")


def by_torch_check(x: torch.Tensor) -> None:
    torch._check(x.dtype == torch.bfloat16, lambda: f"only bf16, not {x.dtype}")


def by_torch_check_type(x: torch.Tensor) -> None:
    torch._check_type(not x.is_floating_point(), lambda: "only integers")


def by_torch_check_value(x: torch.Tensor) -> None:
    torch._check_value(x.dtype == torch.bfloat16, lambda: "only bf16")


def by_other_error(x: torch.Tensor) -> None:
    try:
        by_if(x)
    except ValueError as error:
        raise RuntimeError(f"bad: {error}") from error


def by_error_in_its_place(x: torch.Tensor) -> None:
    try:
        by_if(x)
    except ValueError:
        raise RuntimeError("bad")  # noqa: B904


def by_local(x: torch.Tensor) -> None:
    kind, rows = x.dtype, x.shape[0]
    x = x * rows
    if kind != torch.bfloat16:
        raise ValueError("wrong kind")


def _is_float(x: torch.Tensor) -> bool:
    return x.is_floating_point()


def by_helper(x: torch.Tensor) -> None:
    if _is_float(x):
        raise ValueError("only integers")


def _wants(ok: bool, words: str) -> None:
    if not ok:
        raise ValueError(words)


def by_caller(x: torch.Tensor) -> None:
    _wants(x.dtype == torch.bfloat16, "only bf16")


def by_match(x: torch.Tensor) -> None:
    match x.dtype:
        case torch.bfloat16:
            return
        case _:
            raise ValueError("unsupported")


def by_table(x: torch.Tensor) -> None:
    {torch.bfloat16: 1}[x.dtype]


def by_type(x: torch.Tensor) -> None:
    if x.type() != "torch.BFloat16Tensor":
        raise ValueError("no BFloat16Tensor")


def by_isinstance(x: torch.Tensor) -> None:
    if not isinstance(x, torch.LongTensor):
        raise ValueError("no LongTensor")


def by_early_return(x: torch.Tensor) -> None:
    if x.dtype == torch.bfloat16:
        return
    raise ValueError("only bf16")


def _stored_wide(kinds: dict[str, bool]) -> bool:
    return kinds["wide"]


def by_ways_that_no_source_shows(x: torch.Tensor) -> None:
    kinds = {"wide": x.element_size() > 2}
    if _stored_wide(kinds):
        raise ValueError("too wide")


def of_shape(x: torch.Tensor) -> None:
    wide = x.to(x.dtype)
    if wide.shape[0] != 3:
        raise ValueError("only three rows")


def of_nothing(x: torch.Tensor) -> None:
    x[7]


def of_shape_that_names_the_dtype(x: torch.Tensor) -> None:
    if x.shape[0] != 3:
        raise ValueError(f"only three rows, not {x.shape} of {x.dtype}")


def of_shape_told_by_torch(x: torch.Tensor) -> None:
    torch._check(x.shape[0] == 3, lambda: f"only three rows of {x.dtype}")


def of_shape_in_one_dtype(x: torch.Tensor) -> None:
    if x.dtype == torch.float32:
        assert x.size(0) == 3, "only three rows"


def of_rows_beside_a_dtype(x: torch.Tensor) -> None:
    kind, rows = x.dtype, x.shape[0]
    if rows != 3:
        raise ValueError(f"only three rows, {kind}")


def of_values_in_a_dtype(x: torch.Tensor) -> None:
    wide = x.to(x.dtype)
    if wide.isfinite().all():
        raise ValueError("nothing is infinite")


def of_the_first_call(x: torch.Tensor) -> None:
    kind = x.dtype
    if not _SEEN:
        _SEEN.append(kind)
        raise ValueError("not ready")


_SEEN: list[torch.dtype] = []


def of_a_mask(x: torch.Tensor) -> None:
    mask = torch.ones(3, dtype=torch.bool)
    try:
        x[mask] if mask.dtype == torch.bool else x
    except IndexError as error:
        raise ValueError("a mask of two rows") from error
