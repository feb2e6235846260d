"""Asks the real CPU kernel which dtypes a call takes and gives; keeps no table of what PyTorch allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final, TypeAlias

import torch

from analyzer.dtypes import is_float
from analyzer.graph import Arg, DtypeArg, Spec

Kwargs = tuple[tuple[str, Arg], ...]

KEPT_SIZE: Final = 16
"""Sizes up to this one are kept; larger ones become 17, 18, ..., equal sizes staying equal."""
EXACT_LIMIT: Final = 1 << 22
"""Elements in all operands up to which a call is also tried in its exact shape."""
KERNEL_ERRORS: Final = (RuntimeError, TypeError, ValueError, IndexError)


@dataclass(frozen=True, slots=True)
class Dtypes:
    """The kernel ran; these are the dtypes of its outputs, in order."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """The kernel would not take these dtypes, in its own words.

    `gap` says that it refuses the same words for a uniform dtype because this device has no such kernel
    ("not implemented for 'Half'"): a fact about the CPU, not about the mixture.
    """

    message: str
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Neither the shrunken nor the exact call could be put to the kernel, whatever the dtypes."""

    reason: str


_AUTOCAST: Final = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)
"""Off while a kernel is asked, also inside a caller's own region."""

Answer: TypeAlias = Dtypes | Refused | Unanswered
_ANSWERS: dict[Any, Answer] = {}


def ask(op: str, args: tuple[Arg, ...], kwargs: Kwargs = ()) -> Answer:
    """What the real kernel says of a call whose tensors are given as `Spec`; each signature is asked once.

    A refusal counts only after a control: the same operands in one dtype must run. So a call that fails for
    its shapes or values is `Unanswered`, never `Refused`.

    >>> a = Spec("float32", (2, 3)); b = Spec("bfloat16", (3, 4))
    >>> ask("aten.mm.default", (a, b)).message
    'expected m1 and m2 to have the same dtype, but got: float != c10::BFloat16'
    """
    function = overload(op)
    key = (op, _key(args, is_view(function)), _key(kwargs, is_view(function)))
    answer = _ANSWERS.get(key)
    if answer is None:
        answer = _put(function, args, kwargs)
        if not isinstance(answer, Unanswered):  # another shape of the same signature may well be answered
            _ANSWERS[key] = answer
    return answer


def overload(op: str) -> Any:
    """The torch overload of a name such as "aten.addmm.default"."""
    found: Any = torch.ops
    for part in op.split("."):
        found = getattr(found, part)
    return found


def words(error: BaseException) -> str:
    """What an error of torch says, without the C++ stack that a debug build appends."""
    return str(error).split("\nException raised from")[0].strip()


def is_view(function: Any) -> bool:
    """Whether an overload only gives a view of its first operand, so that sizes cannot matter to dtypes."""
    returns = function._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _key(arg: Any, view: bool) -> Any:
    kind = type(arg)
    if kind is Spec:
        return (arg.dtype, tuple([min(n, KEPT_SIZE + 1) for n in arg.shape]))  # bmm of tiny matrices has other words
    if kind is tuple:
        return tuple([_key(item, view) for item in arg])
    if kind is DtypeArg:
        return arg
    return kind if view and kind is int else (kind, arg)


def _put(function: Any, args: tuple[Arg, ...], kwargs: Kwargs) -> Answer:
    first = ""
    for shrink in (True, False):
        if not shrink and _elements((args, kwargs)) > EXACT_LIMIT and not is_view(function):
            break
        result = _try(function, args, kwargs, shrink)
        if isinstance(result, Dtypes):
            return result
        first = first or result
        if isinstance(_try(function, _uniform(args), _uniform(kwargs), shrink), Dtypes):
            return Refused(result, gap="not implemented for" in result and len(_floats((args, kwargs))) <= 1)
    return Unanswered(first or "too large to try")


def _try(function: Any, args: Any, kwargs: Any, shrink: bool) -> Dtypes | str:
    sizes: dict[int, int] = {}
    try:
        with torch.no_grad(), torch._C._DisableTorchDispatch(), torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            real = tuple([_real(a, sizes, shrink) for a in args])
            named = {name: _real(a, sizes, shrink) for name, a in kwargs}
            return Dtypes(tuple(_dtypes(function(*real, **named))))
    except KERNEL_ERRORS as error:
        return words(error)


def _real(arg: Any, sizes: dict[int, int], shrink: bool) -> Any:
    kind = type(arg)
    if kind is Spec:
        shape = [_shrunk(n, sizes) for n in arg.shape] if shrink else arg.shape
        dtype = getattr(torch, arg.dtype)
        if dtype.is_floating_point and dtype.itemsize > 1:
            return torch.ones(shape, dtype=dtype)
        return torch.zeros(shape, dtype=dtype)
    if kind is tuple:
        return [_real(item, sizes, shrink) for item in arg]
    if kind is DtypeArg:
        return getattr(torch, arg.name)
    if kind is int and shrink:
        return sizes.get(arg, arg)
    return arg


def _shrunk(size: int, sizes: dict[int, int]) -> int:
    if size <= KEPT_SIZE:
        return size
    return sizes.setdefault(size, KEPT_SIZE + 1 + len(sizes))


def _uniform(arg: Any) -> Any:
    if type(arg) is Spec:
        return replace(arg, dtype="float32") if is_float(arg.dtype) else arg
    return tuple([_uniform(item) for item in arg]) if type(arg) is tuple else arg


def _floats(arg: Any) -> set[str]:
    if type(arg) is Spec:
        return {arg.dtype} if is_float(arg.dtype) else set()
    return set().union(*map(_floats, arg)) if type(arg) is tuple else set()


def _elements(arg: Any) -> int:
    if type(arg) is Spec:
        return prod(arg.shape)
    return sum(map(_elements, arg)) if type(arg) is tuple else 0


def _dtypes(result: Any) -> list[str]:
    if isinstance(result, torch.Tensor):
        return [str(result.dtype).removeprefix("torch.")]
    if isinstance(result, (tuple, list)):
        return [name for item in result for name in _dtypes(item)]
    return []
