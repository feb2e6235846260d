"""Asks the real CPU kernel which dtypes a call takes and gives; keeps no table of what PyTorch allows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import count
from typing import Any, Final

import torch

from analyzer.ir import walk
from analyzer.ir.dtypes import is_float
from analyzer.ir.graph import Arg, DtypeArg, Spec
from analyzer.ir.witness import AS_ON_CPU, Witness
from analyzer.oracle import absent_dtypes, device_rows, half_fft, operator_dtypes
from analyzer.oracle.answers import Answer, Dtypes, Refused, Unanswered
from analyzer.oracle.operands import (
    ALIGNED,
    EXACT,
    KEPT_SIZE,
    NOWHERE,
    ONE_BASED,
    REGULAR,
    SHRUNK,
    UNTOUCHED,
    Way,
    chosen,
    elements,
    fewer,
    numel,
    real,
)
from analyzer.oracle.operator_dtypes import is_missing
from analyzer.oracle.remedies import remedies

__all__ = [
    "EXACT_LIMIT", "HALVES", "KERNEL_ERRORS", "META_ERRORS", "STAND_INS",
    "Answer", "Dtypes", "Refused", "Unanswered",
    "ask", "beyond_cpu", "changed", "is_gap", "is_view", "lacked", "may_lack", "overload", "words",
]  # fmt: skip

Kwargs = tuple[tuple[str, Arg], ...]

EXACT_LIMIT: Final = 1 << 22
"""Elements in all operands up to which a call is also tried in its exact shape."""
UNTOUCHED_LIMIT: Final = 1 << 28
"""Elements up to which a refused call is put once more at full size, for its words, on memory that stays unused."""
KERNEL_ERRORS: Final = (RuntimeError, TypeError, ValueError, IndexError)
META_ERRORS: Final = (*KERNEL_ERRORS, KeyError, AssertionError, AttributeError, ArithmeticError)
"""What a meta kernel that is written in Python may raise as well."""

STAND_INS: Final = ("quantised", "kernels")
"""Namespaces of operations of ours that stand for a library's kernels, and name where its words are read."""
HALVES: Final = frozenset({"float16", "bfloat16", "complex32"})
"""Dtypes in which the CPU lacks kernels that other devices may have."""
_AUTOCAST: Final = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)
"""Off while a kernel is asked, also inside a caller's own region."""

_ANSWERS: dict[object, Answer] = {}


def ask(op: str, args: tuple[Arg, ...], kwargs: Kwargs = (), device: str = "cpu") -> Answer:
    """What the real kernel says of a call whose tensors are given as `Spec`; each signature is asked once.

    For another device than the CPU a row of its data file decides, else what PyTorch's operator database states of the
    device; where both say nothing, the CPU answers for it.

    A refusal counts only after a control: the same operands must run in other dtypes. Floats are put in one dtype
    (float32, else one that is there already, as a dtype among the arguments may bind the operands to it); if that
    does not help, operands of any kind are changed, the fewest first (`remedies`). So a call that fails for its
    shapes or values is `Unanswered`, never `Refused`.

    >>> a = Spec("float32", (2, 3)); b = Spec("bfloat16", (3, 4))
    >>> ask("aten.mm.default", (a, b)).message
    'expected m1 and m2 to have the same dtype, but got: float != c10::BFloat16'
    """
    function = overload(op)
    if absent := absent_dtypes.find(device, absent_dtypes.of((args, kwargs))):
        return Refused(absent[0], asked=absent[1])
    row = device_rows.find(device, op, function._schema, args, kwargs)
    if row is not None:
        return Refused(row.refused, asked=row.witness(device)) if row.refused else Dtypes(row.gives)
    if uneven := half_fft.find(device, op, args):
        return Refused(uneven[0], asked=uneven[1])
    answer = _of_cpu(function, op, args, kwargs)
    known = operator_dtypes.find(device, op, function._schema, args, kwargs)
    if known is not None:
        return _as_known(known, function, args, kwargs, answer)
    if isinstance(answer, Dtypes) and (absent := absent_dtypes.find(device, answer.names)):
        return Refused(absent[0], asked=absent[1])
    if isinstance(answer, Refused) and (source := _own_source(function, args)):
        return replace(answer, asked=Witness.of_device(device, device_rows.FROM_SOURCE, source))
    if device != "cpu" and isinstance(answer, Refused):
        return replace(answer, asked=AS_ON_CPU)
    return answer


def beyond_cpu(op: str, args: tuple[Arg, ...], kwargs: Kwargs, device: str) -> bool:
    """Whether a device is known to have the kernel of a call, which the CPU lacks."""
    known = operator_dtypes.find(device, op, overload(op)._schema, args, kwargs)
    return known is not None and known.has


def may_lack(op: str, device: str) -> bool:
    """Whether a device may refuse a call for what it is known to lack; cheap, for calls that run for real."""
    return absent_dtypes.lacks_any(device) or operator_dtypes.names(device, op)


def lacked(op: str, args: tuple[Arg, ...], kwargs: Kwargs, gives: tuple[str, ...], device: str) -> Refused | None:
    """The refusal of a device that is known to lack the kernel, or a dtype, of a call that ran on the CPU."""
    if absent := absent_dtypes.find(device, (*absent_dtypes.of((args, kwargs)), *gives)):
        return Refused(absent[0], asked=absent[1])
    known = operator_dtypes.find(device, op, overload(op)._schema, args, kwargs)
    return Refused(known.words(""), asked=known.witness) if known is not None and not known.has else None


def overload(op: str) -> Any:
    """The torch overload of a name such as "aten.addmm.default"."""
    found: Any = torch.ops
    for part in op.split("."):
        found = getattr(found, part)
    return found


def words(error: BaseException) -> str:
    """What an error says, without the C++ stack that a debug build appends; its class where it has no words.

    >>> words(ValueError("only halves")), words(AssertionError()), words(KeyError(7))
    ('only halves', 'AssertionError', 'KeyError: 7')
    """
    said = str(error).split("\nException raised from")[0].strip()
    kind = type(error).__name__
    if isinstance(error, KeyError):  # which says the key alone
        return f"{kind}: {said}"
    return said or kind


def is_gap(words: str, dtypes: Collection[str]) -> bool:
    """Whether a refusal of operands whose floats have these dtypes says that the CPU has no such half kernel."""
    return is_missing(words) and len(dtypes) == 1 and HALVES.issuperset(dtypes)


def is_view(function: Any) -> bool:
    """Whether an overload only gives a view of its first operand, so that sizes cannot matter to dtypes."""
    returns = function._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _as_known(
    known: operator_dtypes.Verdict, function: Any, args: tuple[Arg, ...], kwargs: Kwargs, on_cpu: Answer
) -> Answer:
    """The answer of a device that is known to have a kernel, or to lack it."""
    if not known.has and isinstance(on_cpu, Refused):
        return replace(on_cpu, message=known.words(on_cpu.message), gap=False, confirm=False, asked=known.witness)
    if not known.has:
        return Refused(known.words(""), asked=known.witness)
    if not isinstance(on_cpu, Refused):
        return on_cpu
    outputs = _try(function, args, kwargs, NOWHERE)
    return outputs if isinstance(outputs, Dtypes) else Unanswered(f"{known.witness}")


def _own_source(function: Any, args: tuple[Arg, ...]) -> str:
    """Where an operation of ours, which stands for a library's kernel, says that its words are read."""
    if function.namespace not in STAND_INS:
        return ""
    names = [argument.name for argument in function._schema.arguments]
    return str(args[names.index("source")])


def _of_cpu(function: object, op: str, args: tuple[Arg, ...], kwargs: Kwargs) -> Answer:
    view, clamp = is_view(function), len(_floats((args, kwargs))) < 2
    key = (op, _key(args, view, clamp), _key(kwargs, view, clamp))
    answer = _ANSWERS.get(key)
    if answer is None:
        answer = _put(function, chosen(op, args), kwargs)
        if not isinstance(answer, Unanswered):  # another shape of the same signature may well be answered
            _ANSWERS[key] = answer
    return answer


def _key(arg: Any, view: bool, clamp: bool) -> Any:
    """Hot: 0.8 us for each of 1,260 calls in 8 Llama layers (8 ms); `walk.key` would add 25 % to a propagation."""
    kind = type(arg)
    if kind is Spec:
        return (arg.dtype, tuple([min(n, KEPT_SIZE + 1) for n in arg.shape]) if clamp else arg.shape)
    if kind is tuple:
        return tuple([_key(item, view, clamp) for item in arg])
    if kind is DtypeArg:
        return arg
    return kind if view and kind is int else (kind, arg)


def _put(function: Any, args: tuple[Arg, ...], kwargs: Kwargs) -> Answer:
    floats = _floats((args, kwargs))
    mixed = len(floats) > 1
    controls = _controls(function, floats)
    if any(argument.name == "workspace" for argument in function._schema.arguments):
        return Unanswered("it wants the workspace that its forward filled, and may crash on any other")
    size = max(elements((args, kwargs)), _given(function, args, kwargs))
    if size > EXACT_LIMIT and not elements((args, kwargs)):  # what makes a tensor of nothing
        args, kwargs = fewer((args, kwargs))
    first = ""
    for way in _ways(function, mixed, size):
        result = _try(function, args, kwargs, way)
        if isinstance(result, Dtypes):
            return result
        first = first or result
        tried = (_try(function, _in(d, args), _in(d, kwargs), way) for d in controls)
        if any(isinstance(said, Dtypes) for said in tried):
            gap = _is_lacking(function, args, kwargs, result, way)
            return Refused(_full_size(function, args, kwargs, result, way), gap, confirm=not mixed and not gap)
    return _of_any_kind(function, args, kwargs, size > EXACT_LIMIT) or Unanswered(
        first or "too large to try", refused=bool(first) and size <= EXACT_LIMIT
    )


def _controls(function: Any, floats: set[str]) -> tuple[str, ...]:
    """The dtypes, one for all floats, in which a refused call is tried again."""
    own = sorted(floats - {"float32"}, reverse=True) if len(floats) > 1 else []
    halves = ["bfloat16"] if function.namespace == "kernels" else []  # some of them take halves alone
    return "float32", *own, *halves


def _is_lacking(function: Any, args: tuple[Arg, ...], kwargs: Kwargs, said: str, way: Way) -> bool:
    """Whether the kernel says the same of one half dtype alone: that it has none."""
    halves = sorted(_floats((args, kwargs)) & HALVES) if is_missing(said) else []
    return any(_try(function, _in(dtype, args), _in(dtype, kwargs), way) == said for dtype in halves)


_NO_KERNEL: Final = "Could not run '"
"""How torch begins where an operator has no kernel for a device."""


def _of_any_kind(function: Any, args: tuple[Arg, ...], kwargs: Kwargs, large: bool) -> Answer | None:
    """The answer to a call that the kernel takes with other integers, or in other dtypes of any kind; None if not.

    Zeros stand for integers that are not known, and divide nothing: so they are also tried as ones.
    """
    operands = tuple(walk.leaves((args, kwargs), Spec))
    ways = (SHRUNK,) if large else (EXACT, ONE_BASED)
    if _pivots(function):
        ways = (ONE_BASED,)
    said = [_try(function, args, kwargs, way) for way in ways]
    for result in said:
        if isinstance(result, Dtypes):
            return result
    if all(str(result).startswith(_NO_KERNEL) for result in said):
        return None  # in no dtype either
    dtypes = [spec.dtype for spec in operands]
    for way, result in zip(ways, said, strict=True):
        for change in remedies(dtypes, _written(function, args, kwargs), str(function)):
            if isinstance(_try(function, *changed(args, kwargs, change), way), Dtypes):
                message = _full_size(function, args, kwargs, str(result), way)
                gap = is_missing(message) and all(dtypes[at] in HALVES for at in change)
                return Refused(message, gap, confirm=not gap, changes=tuple(change.items()))
    return None


def changed(args: tuple[Arg, ...], kwargs: Kwargs, change: Mapping[int, str]) -> tuple[Any, Any]:
    """A call's arguments with some of its tensors, by their position among all of them, in other dtypes."""
    positions = count()

    def other(spec: Spec) -> Spec:
        dtype = change.get(next(positions))
        return replace(spec, dtype=dtype) if dtype else spec

    made: tuple[Any, Any] = walk.changed((args, kwargs), Spec, other)
    return made


def _written(function: Any, args: tuple[Arg, ...], kwargs: Kwargs) -> set[int]:
    """The positions, among all tensors of a call, of those that it writes into."""
    into = {
        argument.name
        for argument in function._schema.arguments
        if argument.alias_info is not None and argument.alias_info.is_write
    }
    names = [argument.name for argument in function._schema.arguments]
    given = [*zip(names, args, strict=False), *kwargs]
    owners = [name for name, value in given for _ in walk.leaves(value, Spec)]
    return {at for at, name in enumerate(owners) if name in into}


def _ways(function: Any, mixed: bool, size: int) -> tuple[Way, ...]:
    """The cheapest first; a mixture in its exact shape if it may be, as the words can depend on sizes."""
    if _pivots(function):
        return (ONE_BASED,)
    if size > EXACT_LIMIT:
        return (SHRUNK, UNTOUCHED) if is_view(function) else (SHRUNK, ALIGNED)
    return (EXACT, SHRUNK, REGULAR) if mixed else (SHRUNK, EXACT, REGULAR)


def _pivots(function: Any) -> bool:
    """Whether a call takes LAPACK's pivots, which are no zeros."""
    return any("pivots" in argument.name.lower() for argument in function._schema.arguments)


def _full_size(function: object, args: tuple[Arg, ...], kwargs: Kwargs, said: str, way: Way) -> str:
    """The words at full size, on memory that is never touched, where shrunken operands were refused."""
    if way is not SHRUNK or not EXACT_LIMIT < elements((args, kwargs)) <= UNTOUCHED_LIMIT:
        return said
    result = _try(function, args, kwargs, UNTOUCHED)
    return said if isinstance(result, Dtypes) else result


def _try(function: Any, args: Any, kwargs: Any, way: Way) -> Dtypes | str:
    sizes: dict[int, int] = {}
    try:
        with torch.no_grad(), torch._C._DisableTorchDispatch(), torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            made = tuple([real(a, sizes, way) for a in args])
            named = {name: real(a, sizes, way) for name, a in kwargs}
            return Dtypes(tuple(_dtypes(function(*made, **named))))
    except KERNEL_ERRORS as error:
        return words(error)


def _in(dtype: str, arg: object) -> object:
    def other(spec: Spec) -> Spec:
        return replace(spec, dtype=dtype) if is_float(spec.dtype) else spec

    return walk.changed(arg, Spec, other)


def _floats(arg: object) -> set[str]:
    return {spec.dtype for spec in walk.leaves(arg, Spec) if is_float(spec.dtype)}


def _given(function: Any, args: Any, kwargs: Any) -> int:
    """How many elements a call gives: small matrices may have a large product. 0 where the meta kernel cannot tell."""
    try:
        with torch.no_grad(), torch._C._DisableTorchDispatch(), torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            made = [real(_in("bfloat16", a), {}, NOWHERE) for a in args]
            named = {name: real(_in("bfloat16", a), {}, NOWHERE) for name, a in kwargs}
            if any(argument.name == "device" for argument in function._schema.arguments):
                named["device"] = torch.device("meta")
            return numel(function(*made, **named))
    except META_ERRORS:
        return 0


def _dtypes(result: object) -> list[str]:
    return [str(tensor.dtype).removeprefix("torch.") for tensor in walk.leaves(result, torch.Tensor)]
