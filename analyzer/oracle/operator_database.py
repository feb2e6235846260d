"""Runs the samples of PyTorch's operator database (`op_db`) on the CPU: which aten operations each operator becomes."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from analyzer.errors import AnalyzerError

DTYPES: Final = (
    "bool", "uint8", "int8", "int16", "int32", "int64",
    "bfloat16", "float16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
"""The dtypes that PyTorch's own test of the database, `test_dtypes`, tries for every operator."""
BASES: Final = ("float32", "int32", "bool", "complex64")
"""Dtypes in which samples show which operands are in the dtype of the sample, the first that an operator takes."""
COMPLEX: Final = {"float16": "complex32", "bfloat16": "", "float32": "complex64", "float64": "complex128"}
_DATABASE: Final = "torch.testing._internal.common_methods_invocations"
_EXAMPLES: Final = 4
_SAMPLES: Final = 24

Static = tuple[tuple[str, str], ...]
Kernel = tuple[str, Static]
"""An overload, and the words among its arguments, such as ("reduce", "amin"), as they choose a kernel."""
Asked = tuple[Kernel, str]
"""A kernel, and the dtype of its operands."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an aten operation: the dtypes in each tensor argument, by name."""

    kernel: Kernel
    dtypes: dict[str, frozenset[str]]
    empty: bool
    """An operand has no element, so that no kernel runs."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What one sample of an operator became; `failed` if the CPU refused it."""

    forward: tuple[Call, ...]
    backward: tuple[Call, ...]
    failed: bool


@dataclass(frozen=True, slots=True)
class Example:
    """A call that ran on the CPU, to be tried in other dtypes."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(slots=True)
class Survey:
    """What the samples showed."""

    traces: dict[tuple[str, str], list[Trace]] = field(default_factory=dict)
    """By operator and dtype of its samples."""
    made: dict[tuple[str, str], bool] = field(default_factory=dict)
    """Whether samples could be made in that dtype; else they were cast to it."""
    operands: dict[Kernel, frozenset[str]] = field(default_factory=dict)
    """The arguments that are in the dtype of the sample; the others have one of their own, as indices have."""
    examples: dict[Kernel, list[Example]] = field(default_factory=dict)


def database() -> list[Any]:
    """The operators, with the dtypes that a current GPU answers: every condition on a compute capability holds.

    On a machine without a GPU `SM53OrLater` and its kind are false, and bfloat16 would be missing from some sets.
    Raises AnalyzerError where the database was imported before, with the conditions of this machine.
    """
    if _DATABASE in sys.modules:
        raise AnalyzerError("the operator database was imported before its conditions could be set")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal import common_cuda

        for name in dir(common_cuda):
            if name.startswith("SM") and name.endswith("OrLater"):
                setattr(common_cuda, name, True)
        from torch.testing._internal.common_methods_invocations import op_db
    return list(op_db)


def name_of(op: Any) -> str:
    """Name and variant of an operator: `scatter_reduce.amin`."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def short_names(dtypes: Iterable[torch.dtype]) -> frozenset[str]:
    """Those of a set of dtypes that PyTorch tests, by name."""
    return frozenset(_name(d) for d in dtypes) & set(DTYPES)


def differentiable(op: Any, dtype: str) -> bool:
    """Whether a backward pass of an operator is tried in a dtype."""
    kind = getattr(torch, dtype)
    return bool(op.supports_autograd and (kind.is_floating_point or kind.is_complex))


def survey(operators: Iterable[Any]) -> Survey:
    """Run every sample of every operator in every dtype."""
    found = Survey()
    raw: dict[str, dict[Kernel, set[str]]] = {base: {} for base in BASES}
    for op in operators:
        base = base_of(op)
        for dtype in DTYPES if base else ():
            made, samples = _samples(op, base, dtype)
            kept = found.examples if dtype == base else None
            traces = [_traced(op, sample, differentiable(op, dtype), kept) for sample in samples]
            found.traces[name_of(op), dtype], found.made[name_of(op), dtype] = traces, made
            if dtype == base:
                _operands(raw[base], traces, base)
    for base in reversed(BASES):
        found.operands |= {kernel: frozenset(names) for kernel, names in raw[base].items()}
    return found


def base_of(op: Any) -> str:
    """The dtype whose samples stand for those of a dtype that the CPU lacks; "" for an operator of another device."""
    return next((base for base in BASES if base in short_names(op.dtypes)), "")


def recast(example: Example, operands: frozenset[str], dtype: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of an example with some operands in another dtype."""
    to = getattr(torch, dtype)
    names = [a.name for a in example.function._schema.arguments]

    def cast(name: str, value: Any) -> Any:
        return tree_map_only(torch.Tensor, lambda t: t.to(to) if name in operands else t.clone(), value)

    args = tuple(cast(name, value) for name, value in zip(names, example.args, strict=False))
    return args, {name: cast(name, value) for name, value in example.kwargs.items()}


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation before it runs, and keeps a few of those that ran."""

    def __init__(self, examples: dict[Kernel, list[Example]] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self._examples = examples

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        call = _call(func, args, kwargs)
        self.calls.append(call)
        kept = self._examples.setdefault(call.kernel, []) if self._examples is not None and not call.empty else None
        before = _copied((args, kwargs)) if kept is not None and len(kept) < _EXAMPLES else None
        result = func(*args, **kwargs)
        if kept is not None and before is not None:
            kept.append(Example(func, *before))
        return result


def _call(func: Any, args: Any, kwargs: Any) -> Call:
    given = dict(zip([a.name for a in func._schema.arguments], args, strict=False)) | kwargs
    tensors = {name: [t for t in tree_leaves(v) if isinstance(t, torch.Tensor)] for name, v in given.items()}
    words = tuple((name, v) for name, v in given.items() if isinstance(v, str))
    dtypes = {name: frozenset(_name(t.dtype) for t in found) for name, found in tensors.items() if found}
    return Call((str(func), words), dtypes, any(not t.numel() for found in tensors.values() for t in found))


def _traced(op: Any, sample: Any, backward: bool, examples: dict[Kernel, list[Example]] | None) -> Trace:
    watching, forward = _Watching(examples), None
    try:
        with warnings.catch_warnings(), watching:
            warnings.simplefilter("ignore")
            result = op.op(sample.input, *sample.args, **sample.kwargs)
            forward = len(watching.calls)
            if backward:
                _differentiated(sample.output_process_fn_grad(result))
    except Exception:  # whatever a kernel, a check or a sample raises
        return Trace(tuple(watching.calls[:forward]), tuple(watching.calls[forward:] if forward else ()), True)
    return Trace(tuple(watching.calls[:forward]), tuple(watching.calls[forward:]), False)


def _differentiated(result: Any) -> None:
    """As `test_dtypes` does: the first result alone, if it is a tensor."""
    first = result if isinstance(result, torch.Tensor) else (list(result) or [None])[0]
    if isinstance(first, torch.Tensor) and first.requires_grad:
        first.backward(torch.ones_like(first))  # type: ignore[no-untyped-call]


def _samples(op: Any, base: str, dtype: str) -> tuple[bool, list[Any]]:
    grad = differentiable(op, dtype)
    torch.manual_seed(0)
    try:
        return True, _listed(op, dtype, grad)
    except Exception:  # made by operations that lack the dtype themselves
        to = getattr(torch, dtype)
        try:
            samples = _listed(op, base, grad)
            return False, [s.transform(lambda x: _cast(x, getattr(torch, base), to)) for s in samples]
        except Exception:
            return False, []


def _listed(op: Any, dtype: str, grad: bool) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: Iterator[Any] = op.sample_inputs("cpu", getattr(torch, dtype), requires_grad=grad, set_seed=False)
        return list(islice(made, _SAMPLES))


def _cast(value: Any, base: torch.dtype, to: torch.dtype) -> Any:
    if not isinstance(value, torch.Tensor) or value.dtype != base:
        return value
    return value.detach().to(to).requires_grad_(value.requires_grad and (to.is_floating_point or to.is_complex))


def _operands(known: dict[Kernel, set[str]], traces: list[Trace], base: str) -> None:
    """Add the arguments that were in the dtype of the samples, or in its complex twin."""
    twins = {base, COMPLEX.get(base, base)}
    for call in (call for trace in traces for call in (*trace.forward, *trace.backward)):
        names = {name for name, dtypes in call.dtypes.items() if dtypes & twins}
        if names:
            known.setdefault(call.kernel, set()).update(names)


def _copied(value: Any) -> Any:
    return tree_map_only(torch.Tensor, lambda t: t.detach().clone(), value)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
