"""What an operator's schema says of its outputs: new tensors, views of an operand, or an operand written in place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch

NEW: Final = "new"
VIEW: Final = "view"


@dataclass(frozen=True, slots=True)
class Signature:
    """`returns` gives for each output NEW, VIEW (of the first operand) or the index of the argument it is.

    `written` lists the indexes of the arguments that are changed in place; keyword-only ones follow the positional.
    """

    op: str
    base: str
    returns: tuple[str | int, ...]
    written: tuple[int, ...]
    names: tuple[str, ...]
    random: bool
    many: bool
    """Whether the only output is a list of tensors."""
    gives_tensors: bool
    forms: bool
    """Whether it gives the tensor that it writes another shape, stride or memory, and leaves the elements there."""
    along: int | None
    """Index of the argument `dim`, if there is one."""
    axis: int | None
    """What `dim` is where it is not given; None is all elements, or the last one where there is no such argument."""


@cache
def signature(function: Any) -> Signature:
    """Read the schema of an overload."""
    schema = function._schema
    written = tuple(i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write)
    dims = {a.name: (i, a.default_value) for i, a in enumerate(schema.arguments)}
    along, axis = dims.get("dim", (None, None))
    returns = (VIEW,) if str(function) in _SHARE else tuple(_return(r, schema, written) for r in schema.returns)
    return Signature(
        op=str(function),
        base=schema.name.split("::")[1].lstrip("_").rstrip("_"),
        returns=returns,
        written=written,
        names=tuple(a.name for a in schema.arguments),
        random=torch.Tag.nondeterministic_seeded in function.tags,
        many=len(schema.returns) == 1 and str(schema.returns[0].type).startswith("List"),
        gives_tensors=any("Tensor" in str(r.type) for r in schema.returns),
        forms=torch.Tag.inplace_view in function.tags,
        along=along,
        axis=axis,
    )


def argument(sig: Signature, index: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Argument number `index` of a call, wherever it was given."""
    return args[index] if index < len(args) else kwargs.get(sig.names[index])


def ranked(sig: Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """The dimension along which a call ranks; None if it ranks all elements."""
    if sig.along is None:
        return -1 if sig.base in _ROWS else None
    given = argument(sig, sig.along, args, kwargs)
    return sig.axis if given is None else int(given)


_ROWS: Final = ("multinomial",)
"""Operations that draw in each row, without an argument that says so."""


_SHARE: Final = ("aten._unsafe_view.default", "aten.unsafe_split.Tensor", "aten.unsafe_split_with_sizes.default")
"""Operations whose results lie on the memory of the first operand, although their schemas call them new."""


def _return(returned: Any, schema: Any, written: tuple[int, ...]) -> str | int:
    info = returned.alias_info
    if info is None:
        return NEW
    if not info.is_write:
        return VIEW
    for index in written:
        if schema.arguments[index].alias_info.before_set & info.before_set:
            return index
    return NEW
