"""Works out which aten operation carries a restriction that the operator database states of a whole operator."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.overrides import resolve_name

from analyzer.oracle.operator_database import (
    COMPLEX,
    DTYPES,
    Asked,
    Call,
    Kernel,
    Survey,
    Trace,
    base_of,
    differentiable,
    name_of,
    recast,
    short_names,
)
from analyzer.oracle.operator_dtypes import Difference, Row, is_missing, is_of_dtype

DEVICES: Final = ("cuda",)
"""Those of which the database states enough: of xpu one operator, and of mps PyTorch's test of the sets fails often."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """An operator that a device lacks in a dtype; one of the kernels that it calls has to be the reason."""

    operator: str
    dtype: str
    suspects: frozenset[Asked]
    stated: bool
    """The database says at the same time that the CPU has it."""


def rows(operators: Iterable[Any], device: str, seen: Survey, torch_version: str) -> list[Row]:
    """What the database says of a device, for each kernel on which it differs from the CPU or both lack a dtype.

    An operator has a dtype if a sample passes there, so a kernel has it that every sample calls; it lacks one if a
    sample fails, so one of the kernels that its samples call lacks it. The suspects that are left are believed only
    if the CPU refuses them as well, or the database says that the CPU has what this device lacks.
    """
    stated = [op for op in operators if base_of(op)]
    has: dict[Asked, set[str]] = {}
    for op in stated:
        for asked in sorted(_had(op, device, seen)):
            has.setdefault(asked, set()).add(name_of(op))
    on_cpu = _Cpu(seen)
    lacks: dict[Asked, set[str]] = {}
    for restriction in (r for op in stated for r in _restrictions(op, device, seen)):
        for asked in _guilty(restriction, frozenset(has), on_cpu):
            lacks.setdefault(asked, set()).add(restriction.operator)
    runs = {asked: sources for asked, sources in has.items() if is_of_dtype(on_cpu.some_words(asked))}
    return list(_rows(lacks, runs, seen, torch_version))


def _rows(lacks: dict[Asked, set[str]], runs: dict[Asked, set[str]], seen: Survey, torch_version: str) -> Iterator[Row]:
    for kernel in sorted({kernel for kernel, _ in (*lacks, *runs)}):
        without = tuple(d for d in _ORDER if (kernel, d) in lacks)
        with_ = tuple(d for d in _ORDER if (kernel, d) in runs)
        sources = {s for (k, _), some in (*lacks.items(), *runs.items()) if k == kernel for s in some}
        operands = tuple(sorted(seen.operands[kernel]))
        yield Row(kernel[0], operands, kernel[1], without, with_, _named(kernel, sources), (torch_version,))


def _named(kernel: Kernel, sources: set[str]) -> str:
    """The operator to name for a kernel: its own, if it is one of them."""
    base = kernel[0].split(".")[1].strip("_").replace("linalg_", "linalg.")
    return min(sources, key=lambda name: (name.removeprefix("nn.functional.") != base, len(name), name))


def differences(operators: Iterable[Any], device: str, torch_version: str) -> list[Difference]:
    """The operators that the database states to have other dtypes on a device than on the CPU."""
    found = []
    for op in operators:
        cpu, there = short_names(op.dtypes), _forward(op, device)
        if cpu != there and base_of(op):
            lacks, runs = (tuple(d for d in _ORDER if d in some) for some in (cpu - there, there - cpu))
            found.append(Difference(name_of(op), resolve_name(op.op) or "", lacks, runs, (torch_version,)))
    return found


def _guilty(restriction: Restriction, has: frozenset[Asked], on_cpu: _Cpu) -> frozenset[Asked]:
    """The kernels that lack the dtype; none where that cannot be told."""
    left = frozenset(asked for asked in restriction.suspects - has if asked[1] == restriction.dtype)
    missing = {asked for asked in left if is_missing(on_cpu.some_words(asked))}
    if missing or not restriction.stated:
        return frozenset(missing)
    run = frozenset(asked for asked in left if not on_cpu.refuses(asked))
    alone = len({kernel[0].rpartition(".")[0] for kernel, _ in run}) == 1
    unknown = not {kernel for kernel, _ in run} & {kernel for kernel, _ in has}  # the device has none in any dtype
    return run if alone or unknown else frozenset()


def _had(op: Any, device: str, seen: Survey) -> set[Asked]:
    """The kernels that a device must have, as it has the operator: those that every sample calls."""
    forward, backward = _forward(op, device), _backward(op, device)
    found: set[Asked] = set()
    for dtype in forward:
        parts = list(_asked(op, dtype, seen))
        found |= _in_all(f for f, _ in parts if f)  # a sample without elements asks no kernel
        if dtype in (backward or ()) and differentiable(op, dtype):
            found |= _in_all(b for _, b in parts if b)
    return found


def _restrictions(op: Any, device: str, seen: Survey) -> Iterator[Restriction]:
    forward, backward = _forward(op, device), _backward(op, device)
    unverified = _unverified(op, device)
    cpu, cpu_backward = short_names(op.dtypes), short_names(op.backward_dtypes)
    for dtype in DTYPES:
        if unverified and dtype in cpu:  # then believed only of what the CPU lacks, and says so
            continue
        parts = list(_asked(op, dtype, seen))
        if dtype not in forward:
            suspects = frozenset().union(*[f for f, _ in parts])
            yield Restriction(name_of(op), dtype, suspects, dtype in cpu)
        elif backward is not None and dtype not in backward and differentiable(op, dtype):
            suspects = frozenset().union(*[b for _, b in parts])
            yield Restriction(name_of(op), dtype, suspects, dtype in cpu_backward)


def _asked(op: Any, dtype: str, seen: Survey) -> Iterator[tuple[frozenset[Asked], frozenset[Asked]]]:
    """What each sample asks of kernels, forward and backward; of one that the CPU refused as in the base dtype."""
    base = base_of(op)
    here, there = seen.traces.get((name_of(op), dtype), []), seen.traces[name_of(op), base]
    whole = here and len(here) == len(there)
    for number, trace in enumerate(here or there):
        if here and not trace.failed:
            yield _both(trace, seen, dtype, dtype)
        elif whole or not here:
            yield _both(there[number], seen, base, dtype)


def _both(trace: Trace, seen: Survey, base: str, dtype: str) -> tuple[frozenset[Asked], frozenset[Asked]]:
    return _of(trace.forward, seen, base, dtype), _of(trace.backward, seen, base, dtype)


def _of(calls: tuple[Call, ...], seen: Survey, base: str, dtype: str) -> frozenset[Asked]:
    twins = _twins(base, dtype)
    found: set[Asked] = set()
    for call in calls:
        names = seen.operands.get(call.kernel, frozenset())
        dtypes = frozenset().union(*[call.dtypes.get(name, frozenset()) for name in names])
        if len(dtypes) == 1 and not call.empty:
            (one,) = dtypes
            if of_device := twins.get(one, one):
                found.add((call.kernel, of_device))
    return frozenset(found)


def _twins(base: str, dtype: str) -> dict[str, str]:
    """What the dtypes of a sample in the base dtype would be in another one: its own, and that of its complex parts."""
    if base == dtype:
        return {}
    return {base: dtype, **({COMPLEX[base]: COMPLEX.get(dtype, dtype)} if base in COMPLEX else {})}


def _in_all(parts: Iterable[frozenset[Asked]]) -> frozenset[Asked]:
    every = list(parts)
    return frozenset.intersection(*every) if every else frozenset()


def _forward(op: Any, device: str) -> frozenset[str]:
    """The dtypes that the database states for a device."""
    return short_names(getattr(op, _STATED[device]))


def _backward(op: Any, device: str) -> frozenset[str] | None:
    return short_names(getattr(op, _BACKWARD[device])) if op.supports_autograd else None


def _unverified(op: Any, device: str) -> bool:
    """Whether PyTorch does not run its own test of an operator's dtypes on a device, so that they may be wrong."""
    return any(
        getattr(d, "test_name", "") in (None, "test_dtypes")
        and d.cls_name in (None, "TestCommon")
        and d.device_type in (None, device)
        and d.active_if
        for d in op.decorators
    )


class _Cpu:
    """Puts examples to the CPU in other dtypes."""

    def __init__(self, seen: Survey) -> None:
        self._seen = seen
        self._said: dict[Asked, list[str]] = {}

    def refuses(self, asked: Asked) -> bool:
        """Whether no example runs."""
        return bool(self.words(asked))

    def words(self, asked: Asked) -> str:
        """What the first example says; "" if one runs, or there is none."""
        said = self._all(asked)
        return said[0] if said and all(said) else ""

    def some_words(self, asked: Asked) -> str:
        """What the first example says that does not run; "" if all run, or there is none."""
        return next(filter(None, self._all(asked)), "")

    def _all(self, asked: Asked) -> list[str]:
        if asked not in self._said:
            self._said[asked] = [self._try(example, *asked) for example in self._seen.examples.get(asked[0], [])]
        return self._said[asked]

    def _try(self, example: Any, kernel: Kernel, dtype: str) -> str:
        if any(a.name == "workspace" for a in example.function._schema.arguments):
            return ""
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                args, kwargs = recast(example, self._seen.operands[kernel], dtype)
                example.function(*args, **kwargs)
        except Exception as error:  # whatever a kernel raises
            return str(error).split("\nException raised from")[0].strip() or type(error).__name__
        return ""


_STATED: Final = {"cuda": "dtypesIfCUDA"}
_BACKWARD: Final = {"cuda": "backward_dtypesIfCUDA"}
_ORDER: Final = (*DTYPES[:10], "complex32", *DTYPES[10:])
