"""Every operator of PyTorch's own test database with a float tensor in another dtype: the trace against the kernel."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_unflatten

import analyzer
from analyzer.capture.tensor import dtype_name
from analyzer.errors import AnalyzerError
from analyzer.ir.dtypes import short
from analyzer.ir.plan import Plan
from analyzer.oracle import KERNEL_ERRORS, words

BASE: Final = torch.float32
OTHERS: Final = (torch.bfloat16, torch.float16, torch.float64)
KINDS: Final = (torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn)
"""What one tensor of a call, whatever it is, is made; of one that is no float, also a float32."""
ALL: Final = "all floats"
UNIFORM: Final = (torch.bfloat16, torch.float16, torch.int64)
"""What all floats of a call are made."""


@dataclass(frozen=True)
class Case:
    """One call: an operator of the database on a sample with some of its float tensors in another dtype."""

    op: str
    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    other: str
    changed: str
    """Which float tensors are in the other dtype: "0" or "all but 0"."""


@dataclass(frozen=True)
class Said:
    """What became of a call: the dtypes of its results, or the words of its refusal."""

    outputs: tuple[str, ...] = ()
    refused: str = ""
    stopped: str = ""
    """The trace came to no verdict, for this reason."""


@dataclass(frozen=True)
class Compared:
    """A case and both answers, without its tensors."""

    op: str
    other: str
    changed: str
    real: Said
    trace: Said


def operators() -> list[Any]:
    """The entries of the database that take float32 on the CPU."""
    wanted = [op for op in op_db if BASE in op.supported_dtypes("cpu")]
    return [op for op in wanted if not op.name.startswith("jiterator")]  # those compile for CUDA alone


def cases(op: Any, other: torch.dtype, samples: int | None = None) -> Iterator[Case]:
    """Every mixture of one operator with at least two float tensors: one of them changed, and all but that one."""
    name = f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name
    for leaves, tree, floats in islice(_mixable(op), samples):
        for position, index in enumerate(floats):
            changes = {f"{position}": {index}}
            if len(floats) > 2:  # of two, all but one is the other one
                changes[f"all but {position}"] = set(floats) - {index}
            for label, changed in changes.items():
                moved = [leaf.detach().to(other) if i in changed else leaf for i, leaf in enumerate(leaves)]
                args, kwargs = tree_unflatten(moved, tree)
                yield Case(name, op.op, args, kwargs, dtype_name(other), label)


def kind_cases(op: Any, samples: int | None = None) -> Iterator[Case]:
    """Calls of one operator with one tensor in a dtype of another kind, or with all floats in another dtype."""
    name = f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name
    for leaves, tree in islice(_samples(op), samples):
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        changes = [((i,), d, f"{n} of {len(places)}") for n, i in enumerate(places) for d in (*KINDS, BASE)]
        floats = tuple(i for i in places if leaves[i].dtype == BASE)
        changes += [(floats, d, ALL) for d in UNIFORM if floats]
        for at, other, label in changes:
            if all(leaves[i].dtype == other for i in at):
                continue
            moved = list(leaves)
            try:
                for i in at:
                    moved[i] = leaves[i].detach().to(other)
            except RuntimeError:  # a sparse tensor that has no such dtype
                continue
            args, kwargs = tree_unflatten(moved, tree)
            yield Case(name, op.op, args, kwargs, dtype_name(other), label)


def compare(case: Case) -> Compared:
    """Both answers to one case, each on its own copies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Compared(case.op, case.other, case.changed, _really(case), _traced(case))


def section(results: Iterable[Compared]) -> str:
    """The comparison as a part of the page: figures for each pair of dtypes, and every disagreement."""
    by_pair: defaultdict[str, list[Compared]] = defaultdict(list)
    for result in results:
        by_pair[result.other].append(result)
    lines = [
        "| pair | operators | calls | refused by the CPU | same verdict, words and dtypes | agreement |",
        "|---|---|---|---|---|---|",
    ]
    for other, found in by_pair.items():
        same = sum(r.real == r.trace for r in found)
        refused = sum(bool(r.real.refused) for r in found)
        lines.append(
            f"| f32 / {short(other)} | {len({r.op for r in found})} | {len(found)} | {refused} | {same} "
            f"| {same / len(found):.2%} |"
        )
    return "\n".join([*lines, "", *_disagreements([r for found in by_pair.values() for r in found])]) + "\n"


def kinds_section(results: Iterable[Compared]) -> str:
    """The comparison of other kinds as a part of the page: figures for each change, and every disagreement."""
    by_change: defaultdict[str, list[Compared]] = defaultdict(list)
    for result in results:
        which = "all floats" if result.changed == ALL else "one tensor"
        by_change[f"{which} in {short(result.other)}"].append(result)
    lines = [
        "| what is changed | operators | calls | refused by the CPU | same verdict, words and dtypes | silent | stops "
        "| other words | refused wrongly | agreement |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    every = [r for found in by_change.values() for r in found]
    for change, found in [*by_change.items(), ("together", every)]:
        same, refused = sum(r.real == r.trace for r in found), sum(bool(r.real.refused) for r in found)
        counts = Counter(_difference(r) for r in found)
        shown = " | ".join(str(counts[kind]) for kind in ("silent", "stop", "words", "false"))
        lines.append(
            f"| {change} | {len({r.op for r in found})} | {len(found)} | {refused} | {same} | {shown} "
            f"| {same / len(found):.2%} |"
        )
    return "\n".join([*lines, "", *_disagreements(every)]) + "\n"


def _difference(result: Compared) -> str:
    real, trace = result.real, result.trace
    if real == trace:
        return ""
    if trace.stopped:
        return "stop"
    if bool(real.refused) != bool(trace.refused):
        return "silent" if real.refused else "false"
    return "words" if real.refused else "dtypes"


def _disagreements(results: Iterable[Compared]) -> list[str]:
    odd = [r for r in results if r.real != r.trace]
    lines = ["No disagreement." if not odd else "Disagreements (the first of each operator and dtype):", ""]
    counts = Counter((r.op, r.other) for r in odd)
    for key, count in sorted(counts.items()):
        first = next(r for r in odd if (r.op, r.other) == key)
        lines.append(f"- `{key[0]}` {short(key[1])} x {count}: really {_line(first.real)}; traced {_line(first.trace)}")
    return lines if odd else lines[:1]


def _samples(op: Any) -> Iterator[tuple[list[Any], Any]]:
    torch.manual_seed(0)
    for sample in op.sample_inputs("cpu", BASE, set_seed=False):  # a seed before each sample takes longer than it
        yield tree_flatten(((sample.input, *sample.args), sample.kwargs))


def _mixable(op: Any) -> Iterator[tuple[list[Any], Any, list[int]]]:
    for leaves, tree in _samples(op):
        floats = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor) and leaf.dtype == BASE]
        if len(floats) > 1:
            yield leaves, tree, floats


def _really(case: Case) -> Said:
    args, kwargs = _copied((case.args, case.kwargs))
    try:
        with torch.no_grad():
            result = case.function(*args, **kwargs)
    except KERNEL_ERRORS as error:
        return Said(refused=words(error))
    return Said(tuple(dtype_name(t.dtype) for t in tree_flatten(result)[0] if isinstance(t, torch.Tensor)))


def _traced(case: Case) -> Said:
    args, kwargs = _copied((case.args, case.kwargs))
    try:
        report = analyzer.trace(case.function, args, kwargs, plan=Plan(device="cpu"))
    except AnalyzerError as error:
        return Said(stopped=str(error))
    if report.coverage.incomplete:
        return Said(stopped=report.coverage.incomplete)
    refused = [node.refused for node in report.graph if node.refused]
    return Said(refused=refused[0]) if refused else Said(report.outputs)


def _copied(value: Any) -> Any:
    leaves, tree = tree_flatten(value)
    return tree_unflatten([t.detach().clone() if isinstance(t, torch.Tensor) else t for t in leaves], tree)


def _line(said: Said) -> str:
    return f"`{said.refused or said.stopped or ', '.join(map(short, said.outputs))}`".replace("\n", " ")
