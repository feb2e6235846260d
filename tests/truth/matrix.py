"""The matrix of models and set-ups: `python -m tests.truth.matrix [--only NAME] [--setup NAME]`."""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import torch
import transformers

from tests.truth.compare import PER_LINE, REPLAYED, Result, compare
from tests.truth.explained import EXPLAINED
from tests.truth.setups import SETUPS
from tests.truth.zoo import ZOO

SIGNS: Final = """\
`=` neither raises and every operation gives the real dtypes, shapes and strides on the real storage, one by one; `v`
the same, once real autograd replays views as it does for every tensor subclass; `~` the same, compared by source line;
`!` both raise, at the same line, with the same words, after the same operations and results; `X` the raise, its line
or its words differ; a number counts operations with another result; `-` not run; nothing: the model has no such input.\
"""


def run(only: str = "", setup: str = "") -> Iterator[Result]:
    """Every case whose model contains `only` and whose set-up starts with `setup`, if they are given."""
    for entry in ZOO.values():
        for one in SETUPS.values():
            if only.lower() in entry.name.lower() and one.name.startswith(setup) and one.suits(entry):
                yield compare(entry, one)


def section(results: Iterable[Result] | None = None) -> str:
    """The matrix as a section of Markdown: the figures, the table, what is explained, and the versions."""
    start, measured = time.monotonic(), results is None
    results = tuple(run() if results is None else results)
    pace = len(results) / (time.monotonic() - start)
    names = [name for name in SETUPS if any(r.setup == name for r in results)]
    cases = {(r.model, r.setup): r for r in results}
    models = list(dict.fromkeys(r.model for r in results))
    family = {r.model: r.family for r in results}
    lines = [*_figures(results), "", SIGNS, ""]
    lines += ["| model | family | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for model in models:
        signs = " | ".join(sign(cases[model, name]) if (model, name) in cases else "" for name in names)
        lines.append(f"| {model} | {family[model]} | {signs} |")
    lines += ["", "The set-ups:", "", *[f"- {name}: {SETUPS[name].says}" for name in names]]
    lines += ["", "What is not equal, and why:", "", *_explained(results)]
    lines += ["", versions(), *([f"{pace:.1f} cases a second."] if measured else [])]
    return "\n".join(lines) + "\n"


def versions() -> str:
    """What the figures hold for: kernels differ from one kind of CPU to another."""
    kind = torch.backends.cpu.get_cpu_capability()
    return f"Versions: torch {torch.__version__}, transformers {transformers.__version__}, a CPU with {kind}."


def sign(result: Result) -> str:
    """A result in one character, or the number of its operations that give something else."""
    if result.skipped:
        return "-"
    if not (result.raise_agrees and result.words_agree and result.place_agrees):
        return "X"
    if result.wrong:
        return str(result.wrong)
    return "!" if result.real else {PER_LINE: "~", REPLAYED: "v"}.get(result.way, "=")


def reason(result: Result) -> str:
    """Why a case has other operations, if the list explains every one of them; else ""."""
    fits = (why for (model, lines), why in EXPLAINED.items() if model == result.model and {*result.unseen} <= {*lines})
    return next(fits, "")


def _figures(results: tuple[Result, ...]) -> list[str]:
    ran = [r for r in results if not r.skipped]
    hits = sum(1 for r in ran if r.real and r.traced)
    told, real = sum(1 for r in ran if r.traced), sum(1 for r in ran if r.real)
    same = sum(1 for r in ran if r.real and r.traced and r.words_agree and r.place_agrees)
    return [
        f"- {len(ran)} cases ({len({r.model for r in ran})} models, {len({r.setup for r in ran})} set-ups), "
        f"{sum(r.ops for r in ran)} operations; {len(results) - len(ran)} cases not run",
        f"- would raise: precision {_share(hits, told)}, recall {_share(hits, real)}; "
        f"{same} of {hits} with the real words at the real file and line",
        f"- operations with another dtype, shape, stride or storage: {sum(r.wrong for r in ran)}; "
        f"{sum(r.assumed for r in ran)} more stand at lines where the trace made up a value that shapes depend on",
        f"- compared one by one: {sum(r.way != PER_LINE for r in ran)} "
        f"({sum(r.way == REPLAYED for r in ran)} with views replayed); "
        f"by source line: {sum(r.way == PER_LINE for r in ran)}",
    ]


def _explained(results: tuple[Result, ...]) -> list[str]:
    """Every case that disagrees or that was compared by line, with its reason; grouped where the reason is one."""
    groups: Counter[tuple[str, str]] = Counter()
    for result in results:
        if result.skipped or not result.agrees or result.unseen:
            known = (
                "" if not result.agrees else reason(result)
            )  # the reasons are for other sequences, not for wrong dtypes or raises
            why = result.skipped or known or f"NOT EXPLAINED: {describe(result)}"
            groups[result.model if not result.skipped else f"every model, {result.setup}", why] += 1
    return [f"- {model} ({count} cases): {why}" for (model, why), count in groups.items()] or ["- nothing"]


def describe(result: Result) -> str:
    """What disagrees in a case, in one line."""
    real, traced = ((f"{r.words!r} at {r.place}" if r else "no error") for r in (result.real, result.traced))
    same = result.raise_agrees and result.words_agree and result.place_agrees
    raised = "" if same else f"really {real}, traced {traced}; "
    unseen = f"; in one run only: {', '.join(result.unseen[:3])}" if result.unseen else ""
    return f"{result.setup}: {raised}{result.first or 'results agree'}{unseen}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.4f} ({part} of {whole})" if whole else "none told"


def quiet() -> None:
    """No progress bars or advice from transformers."""
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def main() -> int:
    """Print or write the table; 1 if a case disagrees, or ran other operations without an explanation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--setup", default="", help="set-ups whose name starts with this")
    parser.add_argument("--json", type=Path, help="write every result to this file")
    given = parser.parse_args()
    quiet()
    start, results = time.monotonic(), tuple(run(given.only, given.setup))
    text = section(results)
    print(text)
    for result in results:
        if not result.agrees and not result.skipped:
            print(f"{result.model}, {describe(result)}")
    print(f"{time.monotonic() - start:.0f} s")
    if given.json:
        given.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    return int(any(not r.skipped and not (r.agrees and (not r.unseen or reason(r))) for r in results))


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    raise SystemExit(main())
