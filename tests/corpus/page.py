"""Writes the corpus as a table: what each case is, what really happens, what the trace says, and the mend."""

from __future__ import annotations

import tempfile
from pathlib import Path

from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proposals import Edit
from tests.corpus.case import SILENT, STOPS, Case
from tests.corpus.mending import RAISING, ROOT, outcomes
from tests.corpus.running import NAMES, case, mechanism, real, report, stop
from tests.corpus.variants import VARIANTS

HEAD = """# Reported faults, rebuilt

Each row is a small model in `tests/corpus/` that has one fault which people reported. Made by `make goldens`: the
words are those of a real run on the CPU, *told* is what the trace says, and under the mend nothing is left. The fix is
the best one of `analyze fix`. It stands there only if the real model, with random weights, was run under it: without
an error, with values close to a float64 run, and with every write where it belongs.

{shares}

| case | report | mechanism | what really happens | told | mend | fix that mends the real run |
| --- | --- | --- | --- | --- | --- | --- |
"""
NOT_TOLD = {
    "sgl-project/sglang#39351": "where scores of experts in float32 are cast to bfloat16 as most stock models do",
    "huggingface/peft#971": "whose words do not say what made attention float32 under autocast",
    "huggingface/peft#2421": "where an adapter is held in float32 by default, which is a note",
}
"""Silent reports that are not rebuilt -> why they are no warning."""
LOUD = 0.9
"""The share of silent faults that must be told."""
WANTED = 0.85
"""The share of faults that raise which must have a fix that mends."""


def page() -> str:
    """The page, a line for each case."""
    return HEAD.format(shares=shares()) + "".join(row(name, case(name)) + "\n" for name in NAMES)


def shares() -> str:
    """How many are told, and how many get a fix, in words."""
    told, silent = loud()
    mended = [name for name in RAISING if mends(name)]
    variants = [name for name in VARIANTS if mends(name)]
    return (
        f"Of {len(RAISING)} faults that raise, {len(mended)} ({len(mended) / len(RAISING):.0%}) get a fix that mends "
        f"the real run; of {len(VARIANTS)} variants of them, {len(variants)} do.\nOf {silent} silent ones, "
        f"{told} ({told / silent:.0%}) are told as warnings. Not told: "
        + "; ".join(f"{report}, {why}" for report, why in NOT_TOLD.items())
        + "."
    )


def loud() -> tuple[int, int]:
    """How many silent faults are told as warnings, of how many: those that are not rebuilt count as not told."""
    silent = [case(name) for name in NAMES if case(name).kind == SILENT]
    return sum(one.severity == "warning" for one in silent), len(silent) + len(NOT_TOLD)


def mends(name: str) -> bool:
    """Whether the best fix of a case mends the real run."""
    return bool(found := outcomes(name)) and found[0].mends


def row(name: str, one: Case) -> str:
    """The line of a case."""
    with tempfile.TemporaryDirectory() as folder:
        ran = real(name, False, Path(folder) / name)
        said = _said(name, one, Path(folder) / name)
    happens = "runs, gives " + ", ".join(ran.dtypes) if one.kind == SILENT else ran.words.splitlines()[0:1]
    words = happens if isinstance(happens, str) else "".join(happens) or "runs on the CPU, refused on CUDA"
    about = mechanism(name).replace(f" ({one.report}).", ".").replace(f" Reported as {one.report}.", "")
    cells = (name, one.report, about, words, said, one.fix, _fix(name))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _fix(name: str) -> str:
    """The best fix of a case that raises, if it mends: a change of the set-up, or the lines that change."""
    if name not in RAISING or not mends(name):
        return "none" if name in RAISING else ""
    proposal = outcomes(name)[0].trial.proposal
    lines = [f"`{line}`" for edit in proposal.edits for line in changed(edit)]
    return "; ".join([*([] if lines and not proposal.sets else [proposal.what]), *lines])


def changed(edit: Edit) -> list[str]:
    """The lines of an edit that are new, without their comments."""
    before = edit.before.splitlines()
    return [line.split("  #")[0].strip() for line in edit.after.splitlines() if line not in before]


def _said(name: str, one: Case, folder: Path) -> str:
    if one.kind == STOPS:
        return stop(name, folder).split(" at ")[0]
    found = report(name, False, folder).findings
    first: Finding = next(f for f in found if (f.code, f.severity) == (one.code, one.severity))
    same = "the same words" if first.message in real_words(name, folder) else first.message.replace(f"{ROOT}/", "")
    blame = one.cause.replace("here", "in the marked line") or "none"
    return f"{first.code} {first.severity}: {same}; cause: {blame}"


def real_words(name: str, folder: Path) -> str:
    """The words of the real run."""
    return real(name, False, folder).words
