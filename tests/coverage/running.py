"""Traces one case in a forked child, within limits of time and memory, and says in one row how far it got."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
import transformers

from analyzer import loaders, rules
from analyzer.errors import AnalyzerError
from analyzer.inputs.labels import make_labels
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from analyzer.propagate import propagate
from analyzer.running.forward import capture
from tests.coverage.cases import Case, config_of

if TYPE_CHECKING:
    import resource

SECONDS: Final = 60
TRACED, PARTIAL, INPUTS, BUILD, LIMIT, NO_DEFAULT = "traced", "partial", "inputs", "build", "limit", "no default"
"""Outcomes: all of it ran; it stopped on the way; no inputs; no model; too long or too large; transformers itself
cannot build its default either, or lacks a package for it."""
_LACKING: Final = re.compile(
    r"requires the (\w+) library|needs the package (\w+)|(?:No module named|pip install) '?`?(\w+)"
)


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one case."""

    name: str
    outcome: str
    why: str = ""
    ops: int = 0
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    loss: str = ""
    """Whether labels were made and taken: "", "taken" or why not."""
    seconds: float = 0.0
    """Of the processor."""
    mib: int = 0
    """Peak memory of the process, torch and transformers included."""
    beside: str = ""
    """The package that was taken from `tests.coverage.beside` for it."""


def apart(name: str, work: Callable[[], Row]) -> Row:
    """Run the work in a forked child; its row, or one that says which limit it met."""

    def limited() -> str:
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor: the machine may be busy
        limit_memory()
        return json.dumps(asdict(work()))

    said, status, usage = forked(limited)
    spent = {"seconds": round(usage.ru_utime + usage.ru_stime, 1), "mib": usage.ru_maxrss >> 10}
    if not said:
        number = os.waitstatus_to_exitcode(status)
        late = number in (-signal.SIGPROF, -signal.SIGALRM)
        why = f"longer than {SECONDS} s" if late else f"the process ended with {number}"
        return Row(name, LIMIT, why, **spent)
    return Row(**{**json.loads(said), **spent})


def forked(work: Callable[[], str]) -> tuple[str, int, resource.struct_rusage]:
    """What the work says in a forked child, "" if that ended before; its status, and what it used."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(4 * SECONDS)
        os.write(write, work().encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    _, status, usage = os.wait4(child, 0)
    return said, status, usage


def trace_case(case: Case) -> Row:
    """Trace a class in its default config, from a folder that holds config.json alone."""
    try:
        settings = config_of(case)
    except Exception as error:
        return Row(case.name, NO_DEFAULT, f"the config has no default: {_line(error)}")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(settings, default=str))
        row = trace_folder(case.name, Path(folder), Plan(dtype="bfloat16"), with_loss=not case.is_base)
        return replace(row, outcome=NO_DEFAULT) if row.outcome == BUILD and default_fails(Path(folder)) else row


def trace_folder(name: str, folder: Path, plan: Plan, *, with_loss: bool = False) -> Row:
    """Trace a folder as the command does, without drawing or proving."""
    try:
        loaded = loaders.load(folder, plan)
    except AnalyzerError as error:
        outcome = INPUTS if "cannot make up" in str(error) else BUILD
        return Row(name, outcome, str(error).replace(str(folder), "."))
    except Exception as error:
        return Row(name, BUILD, f"NOT CAUGHT {_line(error)}")
    loss = ""
    try:
        loaded, captured = learned(loaded, plan)
        if with_loss and captured.stop is None and (labels := _labels(loaded, plan)):
            labelled = replace(loaded, inputs={**loaded.inputs, **labels})
            again = capture(labelled, plan)
            words = again.stop.words if again.stop else ""
            if words:
                taught, again = learned(labelled, plan)
                words = "" if again.stop is None and labels.keys() <= taught.inputs.keys() else words
            loss = f"not taken: {words}" if words else "taken"
            captured = captured if words else again
        flow = propagate(captured.graph, plan, inventory=loaded.inventory)
        found = rules.check(flow)
    except AnalyzerError as error:
        return Row(name, PARTIAL, str(error).replace(str(folder), "."))
    except Exception as error:
        return Row(name, PARTIAL, f"NOT CAUGHT {_line(error)}")
    said: dict[str, list[str]] = {"error": [], "warning": [], "note": []}
    for finding in found:
        said[finding.severity].append(f"{finding.code} {finding.message[:160]} at {finding.file}:{finding.line}")
    stop = captured.stop
    return Row(
        name, PARTIAL if stop else TRACED, stop.words if stop else "", captured.coverage.ops,
        tuple(said["error"]), tuple(said["warning"]), loss,
    )  # fmt: skip


def default_fails(folder: Path) -> bool:
    """Whether transformers, asked by itself, cannot build the class from this config either."""
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        with torch.device("meta"):
            getattr(transformers, config.architectures[0])(config)
    except Exception:
        return True
    return False


def _labels(loaded: Any, plan: Plan) -> dict[str, Any]:
    module = loaded.module
    signature = inspect.signature(module.forward)
    return make_labels(module, module.config, signature, loaded.inputs, getattr(torch, plan.dtype or "float32"))


def lacking(why: str) -> str:
    """The package that an error says is missing; "" if it says no such thing.

    >>> lacking("ImportError: TimmBackbone requires the timm library but it was not found")
    'timm'
    """
    found = _LACKING.search(why)
    return next(filter(None, found.groups()), "") if found else ""


def limit_memory() -> None:
    """No more than 8 GiB of address space beyond what is there, so that a runaway ends and not the machine."""
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (8 << 30), resource.RLIM_INFINITY))


def _line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = str(error).splitlines()
    return f"{type(error).__name__}: {text[0][:200] if text else ''}{place}"


def count(rows: list[Row]) -> Counter[str]:
    """How many rows have each outcome."""
    return Counter(row.outcome for row in rows)
