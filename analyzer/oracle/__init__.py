"""Asks the real CPU kernel which dtypes a call takes and gives; keeps no table of what PyTorch allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import torch

from analyzer.ir import walk
from analyzer.ir.dtypes import is_float
from analyzer.ir.graph import Arg, DtypeArg, Spec
from analyzer.ir.witness import AS_ON_CPU, CPU, Witness
from analyzer.oracle import absent_dtypes, device_rows, half_fft, operator_dtypes
from analyzer.oracle.operands import (
    ALIGNED,
    EXACT,
    KEPT_SIZE,
    NOWHERE,
    PIVOTED,
    REGULAR,
    SHRUNK,
    UNTOUCHED,
    Way,
    chosen,
    elements,
    numel,
    real,
)

Kwargs = tuple[tuple[str, Arg], ...]

EXACT_LIMIT: Final = 1 << 22
"""Elements in all operands up to which a call is also tried in its exact shape."""
UNTOUCHED_LIMIT: Final = 1 << 28
"""Elements up to which a refused call is put once more at full size, for its words, on memory that stays unused."""
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
    uniform: bool = False
    """All operands have one dtype, and another one would do: perhaps for another layout than the call's own."""
    asked: Witness = CPU
    """Whose words these are; of another device with their source: `cuda, from source: pytorch#135969`."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Neither the shrunken nor the exact call could be put to the kernel, whatever the dtypes."""

    reason: str


STAND_INS: Final = ("quantised", "kernels")
"""Namespaces of operations of ours that stand for a library's kernels, and name where its words are read."""
_BYTES: Final = frozenset({"int8", "uint8"})
"""What packed weights are stored as."""
_AUTOCAST: Final = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)
"""Off while a kernel is asked, also inside a caller's own region."""

Answer: TypeAlias = Dtypes | Refused | Unanswered
_ANSWERS: dict[object, Answer] = {}


def ask(op: str, args: tuple[Arg, ...], kwargs: Kwargs = (), device: str = "cpu") -> Answer:
    """What the real kernel says of a call whose tensors are given as `Spec`; each signature is asked once.

    For another device than the CPU a row of its data file decides, else what PyTorch's operator database states of the
    device; where both say nothing, the CPU answers for it.

    A refusal counts only after a control: the same operands in one dtype must run (float32, else one that is there
    already, as a dtype among the arguments may bind the operands to it). So a call that fails for
    its shapes or values is `Unanswered`, never `Refused`.

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
    """What an error of torch says, without the C++ stack that a debug build appends."""
    return str(error).split("\nException raised from")[0].strip()


def is_gap(words: str, mixed: bool) -> bool:
    """Whether a refusal of operands in one dtype says that this device has no such kernel."""
    return "not implemented for" in words and not mixed


def is_view(function: Any) -> bool:
    """Whether an overload only gives a view of its first operand, so that sizes cannot matter to dtypes."""
    returns = function._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _as_known(
    known: operator_dtypes.Verdict, function: Any, args: tuple[Arg, ...], kwargs: Kwargs, on_cpu: Answer
) -> Answer:
    """The answer of a device that is known to have a kernel, or to lack it."""
    if not known.has:
        said = on_cpu.message if isinstance(on_cpu, Refused) else ""
        return Refused(known.words(said), asked=known.witness)
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
    controls = ("float32", *sorted(floats - {"float32"}, reverse=True)) if mixed else ("float32",)
    if function.namespace == "kernels":  # some of them take halves alone
        controls = (*controls, "bfloat16")
    if any(argument.name == "workspace" for argument in function._schema.arguments):
        return Unanswered("it wants the workspace that its forward filled, and may crash on any other")
    first = ""
    for way in _ways(function, mixed, max(elements((args, kwargs)), _given(function, args, kwargs))):
        result = _try(function, args, kwargs, way)
        if isinstance(result, Dtypes):
            return result
        first = first or result
        tried = (_try(function, _in(d, args), _in(d, kwargs), way) for d in controls)
        if any(isinstance(said, Dtypes) for said in tried) or _packed(function, args, kwargs, way):
            lacks = "not implemented for" in result  # and that of one of these dtypes alone?
            gap = lacks and any(_try(function, _in(d, args), _in(d, kwargs), way) == result for d in floats)
            return Refused(_full_size(function, args, kwargs, result, way), gap, uniform=not mixed and not gap)
    return Unanswered(first or "too large to try")


def _ways(function: Any, mixed: bool, size: int) -> tuple[Way, ...]:
    """The cheapest first; a mixture in its exact shape if it may be, as the words can depend on sizes."""
    if any("pivots" in argument.name.lower() for argument in function._schema.arguments):
        return (PIVOTED,)
    if size > EXACT_LIMIT and not is_view(function):
        return SHRUNK, ALIGNED
    return (EXACT, SHRUNK, REGULAR) if mixed else (SHRUNK, EXACT, REGULAR)


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


def _packed(function: object, args: object, kwargs: object, way: Way) -> bool:
    """Whether a call on floats and packed weights, which are bytes, would run if these were floats as well."""
    if not _floats((args, kwargs)) or not _floats((args, kwargs), _BYTES):
        return False
    return isinstance(_try(function, _in("float32", args, _BYTES), _in("float32", kwargs, _BYTES), way), Dtypes)


def _in(dtype: str, arg: object, also: frozenset[str] = frozenset()) -> object:
    def other(spec: Spec) -> Spec:
        return replace(spec, dtype=dtype) if is_float(spec.dtype) or spec.dtype in also else spec

    return walk.changed(arg, Spec, other)


def _floats(arg: object, of: frozenset[str] | None = None) -> set[str]:
    found = {spec.dtype for spec in walk.leaves(arg, Spec)}
    return {dtype for dtype in found if is_float(dtype)} if of is None else found & of


def _given(function: Any, args: Any, kwargs: Any) -> int:
    """How many elements a call gives: small matrices may have a large product. 0 where the meta kernel cannot tell."""
    try:
        with torch.no_grad(), torch._C._DisableTorchDispatch(), torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            made = [real(_in("bfloat16", a), {}, NOWHERE) for a in args]
            return numel(function(*made, **{name: real(_in("bfloat16", a), {}, NOWHERE) for name, a in kwargs}))
    except (*KERNEL_ERRORS, NotImplementedError):
        return 0


def _dtypes(result: object) -> list[str]:
    return [str(tensor.dtype).removeprefix("torch.") for tensor in walk.leaves(result, torch.Tensor)]
