"""Saved reports, as the command writes them, for `draw` and `diff`."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from pathlib import Path
from typing import Final

from tests.fuzzing.inputs import Place, Seed
from tests.fuzzing.seeds.configs import tiny

_ODD: Final = ("--set", "lm_head=float32")
"""With it the small Llama has an error."""
_OUTS: Final = (".svg", ".html", ".json", ".txt", ".dot")


@cache
def written(argv: tuple[str, ...], name: str) -> bytes:
    """The file `../out/NAME` that the command writes when it is run on the small Llama."""
    from analyzer.cli import main

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as root:
        place = Place(Path(root))
        place.make(tiny())
        os.chdir(place.work)
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                main([*argv, "--in-process"])
        finally:
            os.chdir(before)
        return (place.out / name).read_bytes()


def _report(*argv: str) -> bytes:
    return written(("trace", "model", *argv, "--out", "../out/r.json"), "r.json")


def _drawn(more: Sequence[str], traced: Sequence[str]) -> Seed:
    return Seed({"r.json": _report(*traced)}, ("draw", "r.json", *more))


def _compared(outs: Sequence[str]) -> Seed:
    files = {"a.json": _report(), "b.json": _report(*_ODD)}
    return Seed(files, ("diff", "a.json", "b.json", *outs))


REPORTS: Final[dict[str, Callable[[], Seed]]] = {
    **{suffix: partial(_drawn, ("--out", f"../out/g{suffix}"), _ODD) for suffix in _OUTS},
    "repro": partial(_drawn, ("--repro", "../out/scripts"), _ODD),
    "focus": partial(_drawn, ("--out", "../out/g.svg", "--focus", "model.layers.0"), ()),
    "finding": partial(_drawn, ("--out", "../out/g.svg", "--finding", "1"), _ODD),
    "trained": partial(_drawn, ("--out", "../out/g.html"), ("--train", *_ODD)),
}
DIFFS: Final[dict[str, Callable[[], Seed]]] = {
    "terminal": partial(_compared, ()),
    **{
        suffix: partial(_compared, ("--out", f"../out/d{suffix}"))
        for suffix in (".json", ".svg", ".dot", ".md", ".txt")
    },
}
