"""Each operator and dtype on which PyTorch's operator database tells CUDA from the CPU: what the trace says of it."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_leaves

import analyzer
from analyzer.errors import AnalyzerError
from analyzer.ir.dtypes import short
from analyzer.ir.plan import Plan
from analyzer.oracle.operator_database import DTYPES, base_of, name_of, short_names
from analyzer.oracle.operator_dtypes import of_this_torch

CPU_ONLY: Final = "the CPU has it, CUDA lacks it"
CUDA_ONLY: Final = "CUDA has it, the CPU lacks it"
NEITHER: Final = "neither has it, in half precision"
KINDS: Final = (CPU_ONLY, CUDA_ONLY, NEITHER)
HALVES: Final = ("float16", "bfloat16")
_TRIED: Final = 16


@dataclass(frozen=True)
class Pair:
    """An operator and a dtype: what the database says of them, and of which kind that is."""

    operator: Any
    dtype: str
    kind: str

    @property
    def name(self) -> str:
        """As the page has it."""
        return f"{name_of(self.operator)} {short(self.dtype)}"


@dataclass(frozen=True)
class Verdict:
    """What the trace said of a pair: the words of its first error, and who said them; `stopped` without a verdict."""

    pair: Pair
    error: str = ""
    asked: str = ""
    stopped: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the trace says what the database says."""
        return not self.stopped and bool(self.error) == (self.pair.kind != CUDA_ONLY)


def pairs(kinds: Iterable[str] = KINDS) -> Iterator[Pair]:
    """Every pair that the CPU and CUDA do not both have; the sets of CUDA are those that the data file holds."""
    differences = {entry.operator: entry for entry in of_this_torch("cuda").differences}
    for op in op_db:
        if not base_of(op):  # an operator of CUDA alone, which the CPU cannot be asked about
            continue
        known = differences.get(name_of(op))
        cpu = short_names(op.dtypes)
        cuda = cpu - set(known.lacks if known else ()) | set(known.runs if known else ())
        for dtype in DTYPES:
            kind = _kind(dtype, dtype in cpu, dtype in cuda, "float32" in cuda)
            if kind in kinds:
                yield Pair(op, dtype, kind)


def verdict(pair: Pair) -> Verdict:
    """Trace samples of the operator in the dtype under a plan for CUDA: one, or up to the first that is refused.

    PyTorch's own test counts a dtype as lacking if some sample fails, so more are tried where one is said to.
    """
    samples = _samples(pair.operator, pair.dtype)
    said = Verdict(pair, stopped="no sample can be made in this dtype")
    for sample in samples[: _TRIED if pair.kind != CUDA_ONLY else 1]:
        said = _said(pair, sample)
        if said.error or said.stopped:
            break
    return said


def _said(pair: Pair, sample: Any) -> Verdict:
    args = (sample.input, *sample.args)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            report = analyzer.trace(pair.operator.op, args, sample.kwargs, plan=Plan(device="cuda"))
        except AnalyzerError as error:
            return Verdict(pair, stopped=str(error))
    errors = [finding for finding in report.findings if finding.severity == "error"]
    if errors:
        return Verdict(pair, errors[0].message, errors[0].asked.text)
    return Verdict(pair, stopped=report.coverage.incomplete or "")


def section(verdicts: Iterable[Verdict]) -> str:
    """The comparison as a part of the page: figures, whose words the errors are, and every disagreement."""
    by_kind: defaultdict[str, list[Verdict]] = defaultdict(list)
    for found in verdicts:
        by_kind[found.pair.kind].append(found)
    lines = ["| of operator and dtype | pairs | the database's verdict | stopped |", "|---|---|---|---|"]
    for kind, of_kind in by_kind.items():
        same, stopped = sum(v.agrees for v in of_kind), sum(bool(v.stopped) for v in of_kind)
        lines.append(f"| {kind} | {len(of_kind)} | {same} | {stopped} |")
    odd = [v for of_kind in by_kind.values() for v in of_kind if not v.agrees]
    said = Counter(v.asked.partition(":")[0] for of_kind in by_kind.values() for v in of_kind if v.error)
    lines += ["", "Whose words the errors are: " + ", ".join(f"{who} {n}" for who, n in sorted(said.items())) + ".", ""]
    lines += [_line(v) for v in odd] or ["No disagreement."]
    return "\n".join(lines) + "\n"


def _line(found: Verdict) -> str:
    said = (found.stopped and f"stopped, `{found.stopped}`") or (found.error and f"`{found.error}`") or "clean"
    return f"- `{found.pair.name}`, {found.pair.kind}: {said}".replace("\n", " ")


def _kind(dtype: str, cpu: bool, cuda: bool, wide: bool) -> str:
    if cpu != cuda:
        return CPU_ONLY if cpu else CUDA_ONLY
    return NEITHER if not cpu and dtype in HALVES and wide else ""


def _samples(op: Any, dtype: str) -> list[Any]:
    """Samples all of whose tensors have elements, as a call on none reaches no kernel; cast where none are made."""
    if whole := _whole(op, dtype):
        return whole
    base, to = getattr(torch, base_of(op)), getattr(torch, dtype)
    return [sample.transform(lambda value: _cast(value, base, to)) for sample in _whole(op, base_of(op))]


def _whole(op: Any, dtype: str) -> list[Any]:
    torch.manual_seed(0)
    try:
        samples = list(islice(op.sample_inputs("cpu", getattr(torch, dtype), set_seed=False), _TRIED))
    except Exception:  # made by operations that lack the dtype themselves
        return []
    return [sample for sample in samples if all(t.numel() for t in _tensors(sample))]


def _tensors(sample: Any) -> list[torch.Tensor]:
    leaves = tree_leaves((sample.input, sample.args, sample.kwargs))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def _cast(value: Any, base: torch.dtype, to: torch.dtype) -> Any:
    return value.to(to) if isinstance(value, torch.Tensor) and value.dtype == base else value
