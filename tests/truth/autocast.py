"""Autocast of a capture against the device's own kernels on fake tensors, over the samples of every OpInfo."""

from __future__ import annotations

import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from analyzer.capture.autocast import policies
from analyzer.capture.tensor import dtype_name
from analyzer.errors import AnalyzerError
from analyzer.ir.graph import CAST, UPDATED
from analyzer.ir.plan import Plan
from analyzer.running.forward import capture, from_callable
from tests.truth.autocast_calls import VARIANTS, Sample, calls, in_variant

Step = tuple[str, tuple[str, ...], tuple[str, ...]]
"""An operation with the dtypes that it saw and those that it gave."""

REASONS = {
    "_softmax.default float16 -> float32": "CUDA's softmax widens half in its kernel, the CPU's in a cast before",
    "_log_softmax.default float16 -> float32": "as softmax",
    "native_dropout": "on a device dropout is one operator, on the CPU it is composed",
    "aten.lstm_cell": "on a device the cell is fused (aten._thnn_fused_lstm_cell)",
    "aten._scaled_dot_product_flash_attention": "has outputs that are not tensors; no CPU attention calls it",
    "fft.hfft": "the fake device copies before a complex-to-real transform, a real CPU does not",
}
"""Words of a difference -> why it is one, where autocast is not the cause: the capture runs the CPU's composites."""


@dataclass
class Table:
    """What one comparison of one device and dtype found."""

    samples: int = 0
    agreed: int = 0
    ops: set[str] = field(default_factory=set)
    """Overloads with an autocast kernel that some agreeing sample reached."""
    differ: list[tuple[str, str]] = field(default_factory=list)
    unasked: Counter[str] = field(default_factory=Counter)
    """Why a sample could not be put to the fake device."""


def compare(device: str, lower: str, samples: Iterator[tuple[str, Sample]]) -> Table:
    """Run every sample both ways."""
    table = Table()
    for name, sample in samples:
        reached, ours = captured(device, lower, sample)
        if not reached:
            continue
        try:
            truth = fake(device, lower, sample)
        except Exception as error:
            table.unasked[f"{name.split()[0]}: {str(error).splitlines()[0][:90]}"] += 1
            continue
        table.samples += 1
        if agree(truth, ours):
            table.agreed += 1
            table.ops |= reached
        else:
            table.differ.append((name, difference(truth, ours)))
    return table


def samples(
    lower: str, most: int = 99, device: str = "", variants: tuple[str, ...] = VARIANTS
) -> Iterator[tuple[str, Sample]]:
    """Samples of every OpInfo in float32, each in the variants of its float tensors' dtypes.

    With `device`, only of those that are named as an operator with an autocast kernel for it.
    """
    names = {op._schema.name.split("::")[1] for op in policies.overloads(device)} if device else set()
    for info in op_db:
        if torch.float32 not in info.dtypes or (names and info.aten_name not in names):
            continue
        torch.manual_seed(0)
        try:
            given = list(info.sample_inputs("cpu", torch.float32, requires_grad=False))[:most]
        except Exception:
            continue
        for number, sample in enumerate(given):
            for variant in variants:
                args, kwargs = in_variant(((sample.input, *sample.args), sample.kwargs), variant, lower)
                yield f"{info.full_name} {number} {variant}", (info.op, args, kwargs)


def fake(device: str, lower: str, sample: Sample) -> list[Step]:
    """Every operation on fake tensors of the device, with autocast on by torch's own state."""
    function, args, kwargs = sample
    with FakeTensorMode(allow_non_fake_inputs=False), policies._on(device, getattr(torch, lower)), torch.no_grad():
        moved = tree_map(lambda x: _like(x, device), (args, kwargs))
        with Log() as log:
            function(*moved[0], **moved[1])
    return log.steps


def captured(device: str, lower: str, sample: Sample) -> tuple[set[str], list[Step]]:
    """The same of a capture, and the overloads that met an autocast kernel on the way."""
    function, args, kwargs = sample
    reached: set[str] = set()
    real = policies.treatment

    def watch(where: str, op: Any, *rest: Any) -> Any:
        reached.add(str(op))
        return real(where, op, *rest)

    policies.treatment = watch  # type: ignore[assignment]
    try:
        plan = Plan(device=device, autocast=f"{device}:{lower}", scope="run")
        graph = capture(from_callable(lambda *a, **k: function(*a, **k), args, kwargs), plan).whole().graph
    except AnalyzerError as error:
        return reached, [(f"stopped: {error}", (), ())]
    finally:
        policies.treatment = real
    steps = []
    for node in graph.ops():
        if node.op != UPDATED:
            saw = tuple(graph.spec(ref).dtype for ref in node.operands())
            steps.append((node.op, saw, ("refused",) if node.refused else tuple(s.dtype for s in node.outputs)))
    return reached, steps


def reason(name: str, words: str) -> str:
    """Why a sample differs; "" if that is not known."""
    return next((why for key, why in REASONS.items() if key in f"{name} {words}"), "")


def agree(truth: list[Step], ours: list[Step]) -> bool:
    """Same operations, same dtypes in and out, in order; what a refused call gives is not compared.

    Copies from device to device, which change no dtype, are left out.
    """
    truth, ours = [[s for s in steps if s[0] != CAST or s[1] != s[2]] for steps in (truth, ours)]
    return len(truth) == len(ours) and all(_same(*pair) for pair in zip(truth, ours, strict=True))


def difference(truth: list[Step], ours: list[Step]) -> str:
    """The first step that differs, in words."""
    for a, b in zip(truth, ours, strict=False):
        if not _same(a, b):
            return f"{_words(a)} | {_words(b)}"
    longer = truth if len(truth) > len(ours) else ours
    return f"{len(truth)} | {len(ours)} steps, first more {_words(longer[min(len(truth), len(ours))])}"


class Log(TorchDispatchMode):
    """Writes down every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not str(func).startswith("prim."):  # a fake tensor's device is asked in Python
            self.steps.append((str(func), _dtypes((args, kwargs)), _dtypes(result)))
        return result


def _same(a: Step, b: Step) -> bool:
    return a[:2] == b[:2] and (a[2] == b[2] or b[2] == ("refused",))


def _dtypes(value: Any) -> tuple[str, ...]:
    return tuple(dtype_name(t.dtype) for t in tree_leaves(value) if isinstance(t, torch.Tensor))


def _words(step: Step) -> str:
    return f"{step[0]} {','.join(step[1])} -> {','.join(step[2])}"


def _like(value: Any, device: str) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)


def section(most: int = 99, devices: tuple[str, ...] = ("cuda", "xpu", "cpu")) -> str:
    """The comparison as a part of the page, on at most `most` samples of an operator."""
    warnings.simplefilter("ignore")
    head = [
        "| autocast | operators compared | of | samples | agree | not asked |",
        "|---|---|---|---|---|---|",
    ]
    notes: list[str] = []
    for device in devices:
        for lower in ("bfloat16", "float16"):
            table = compare(device, lower, chain(samples(lower, most), calls(device, lower)))
            all_ops = {str(op) for op in policies.overloads(device)}
            head.append(
                f"| {device}:{lower} | {len(table.ops)} | {len(all_ops)} | {table.samples} | {table.agreed} "
                f"| {sum(table.unasked.values())} |"
            )
            notes += _notes(f"{device}:{lower}", table, sorted(all_ops - table.ops))
    return "\n".join([*head, "", *notes]) + "\n"


def _notes(name: str, table: Table, unreached: list[str]) -> Iterator[str]:
    """What differs and why, which operators no sample reached, and what could not be asked."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for sample, words in table.differ:
        groups[f"{sample.split()[0]}: {words}"].append(sample)
    for words, samples_ in sorted(groups.items()):
        why = reason(samples_[0], words) or "NOT KNOWN"
        yield f"- {name} differs in {len(samples_)}: `{words[:200]}`; because {why}"
    if unreached:
        yield f"- {name}, reached by no sample: {', '.join(f'`{op}`' for op in unreached)}"


if __name__ == "__main__":
    print(section(int(sys.argv[1]) if len(sys.argv) > 1 else 99))
