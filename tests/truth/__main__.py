"""`python -m tests.truth [PART[:SAMPLES] ...]`: comparisons with what PyTorch really does, into docs/truth.md.

SAMPLES is the most that are taken of each operator; all, if it is not given.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.progress import track

from tests.pages import placed
from tests.truth import autocast, cuda_dtypes, layouts, matrix, noise, opinfo, surface_page

PAGE: Final = Path(__file__).parents[2] / "docs" / "truth.md"


def main(parts: list[str]) -> None:
    """Make the parts (all by default), print each and put it into the page in the place of its old one."""
    torch.set_num_threads(1)
    version = torch.__version__.split("+")[0]
    for wanted in parts or list(PARTS):
        name, _, samples = wanted.partition(":")
        limit = f"At most {samples} samples of an operator.\n\n" if samples else ""
        part = f"## torch {version}: {name}\n\n{limit}{PARTS[name](int(samples) if samples else None)}"
        print(part)
        PAGE.write_text(placed(PAGE.read_text(encoding="utf-8"), part), encoding="utf-8")


def _operators(samples: int | None) -> str:
    return opinfo.section(_compared(Console(stderr=True), samples))


def _compared(console: Console, samples: int | None) -> Iterator[opinfo.Compared]:
    todo = [(op, other) for other in opinfo.OTHERS for op in opinfo.operators()]
    for op, other in track(todo, "operators", console=console, disable=not console.is_terminal):
        yield from map(opinfo.compare, opinfo.cases(op, other, samples))


def _kinds(samples: int | None) -> str:
    console, operators = Console(stderr=True), opinfo.operators()
    shown = track(operators, "kinds", console=console, disable=not console.is_terminal)
    return opinfo.kinds_section(opinfo.compare(case) for op in shown for case in opinfo.kind_cases(op, samples))


def _models(_: int | None) -> str:
    matrix.quiet()
    return matrix.section()


def _noise(_: int | None) -> str:
    matrix.quiet()
    return noise.section()


def _autocast(samples: int | None) -> str:
    return autocast.section(samples or 99)


def _surface(_: int | None) -> str:
    return surface_page.section()


def _cuda(_: int | None) -> str:
    console = Console(stderr=True)
    todo = list(cuda_dtypes.pairs())
    tried = track(todo, "cuda", console=console, disable=not console.is_terminal)
    return cuda_dtypes.section(map(cuda_dtypes.verdict, tried))


PARTS: Final[dict[str, Callable[[int | None], str]]] = {
    "operators": _operators,
    "kinds": _kinds,
    "models": _models,
    "noise": _noise,
    "autocast": _autocast,
    "layouts": layouts.section,
    "surface": _surface,
    "cuda": _cuda,
}


if __name__ == "__main__":
    main(sys.argv[1:])
