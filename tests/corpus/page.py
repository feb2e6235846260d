"""Writes the corpus as a table: what each case is, what really happens, what the trace says, and the mend."""

from __future__ import annotations

import tempfile
from pathlib import Path

from analyzer.ir.findings import Finding, Fix
from tests.corpus import mending
from tests.corpus.case import SILENT, STOPS, Case
from tests.corpus.mending import LINES, ROOT
from tests.corpus.running import NAMES, case, mechanism, real, report, stop

HEAD = """# Reported faults, rebuilt

Each row is a small model in `tests/corpus/` that has one fault which people reported. Made by `make goldens`: the
words are those of a real run on the CPU, the verdict is the trace's, and under the mend nothing is left. A proved fix
is the tool's own: a cast after loading, or a line of the case with a cast, with which it really runs and gives what a
run in float64 gives. Where only the trace was cleared, that is said.

| case | report | mechanism | what really happens | what analyze says | mend | proved fix |
| --- | --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The page, a line for each case."""
    return HEAD + "".join(_row(name, case(name)) + "\n" for name in NAMES)


def _row(name: str, one: Case) -> str:
    with tempfile.TemporaryDirectory() as folder:
        ran = real(name, False, Path(folder) / name)
        said, fixes = _said(name, one, Path(folder) / name)
    happens = "runs, gives " + ", ".join(ran.dtypes) if one.kind == SILENT else ran.words.splitlines()[0:1]
    words = happens if isinstance(happens, str) else "".join(happens) or "runs on the CPU, refused on CUDA"
    about = mechanism(name).replace(f" ({one.report}).", ".").replace(f" Reported as {one.report}.", "")
    return (
        "| "
        + " | ".join(cell.replace("|", "\\|") for cell in (name, one.report, about, words, said, one.fix, fixes))
        + " |"
    )


def _said(name: str, one: Case, folder: Path) -> tuple[str, str]:
    if one.kind == STOPS:
        return stop(name, folder).split(" at ")[0], ""
    found = report(name, False, folder).findings
    first: Finding = next(f for f in found if (f.code, f.severity) == (one.code, one.severity))
    proved = "; ".join(_fix(fix) for fix in first.fixes if fix.cleared)
    if not proved and name in LINES:
        proved = "; ".join(f"`{line}`" for line in mending.proved(name)[:1])
    message = first.message.replace(f"{ROOT}/", "")
    same = "the same words" if first.message in real_words(name, folder) else message
    blame = one.cause.replace("here", "in the marked line") or "none"
    return f"{first.code} {first.severity}: {same}; cause: {blame}", proved


def _fix(fix: Fix) -> str:
    what = fix.what.replace("kwargs.", "")
    return what if fix.proved else f"{what} ({fix.real.words}: {fix.real.why})"


def real_words(name: str, folder: Path) -> str:
    """The words of the real run."""
    return real(name, False, folder).words
