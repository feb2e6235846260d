"""`python -m tests.truth`: every comparison with what PyTorch really does, written to docs/truth.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from tests.truth import opinfo

PAGE = Path(__file__).parents[2] / "docs" / "truth.md"


def main() -> None:
    """Compare, print the part of this torch version and put it into the page in the place of its old one."""
    torch.set_num_threads(1)
    console = Console(stderr=True)
    compared = list(_operators(console))
    version = torch.__version__.split("+")[0]
    part = f"## torch {version}\n\n### Operators\n\n{opinfo.section(compared)}"
    print(part)
    PAGE.write_text(_placed(PAGE.read_text() if PAGE.exists() else "", f"## torch {version}\n", part))


def _operators(console: Console) -> Iterator[opinfo.Compared]:
    todo = [(op, other) for other in opinfo.OTHERS for op in opinfo.operators()]
    for op, other in track(todo, "operators", console=console, disable=not console.is_terminal):
        yield from map(opinfo.compare, opinfo.cases(op, other))


def _placed(page: str, head: str, part: str) -> str:
    parts = [p for p in re.split(r"(?m)^(?=## torch )", page) if p.strip()]
    kept = [p.rstrip() + "\n" for p in parts if not p.startswith(head)]
    intro = [p for p in kept if not p.startswith("## torch ")]
    versions = sorted([p for p in kept if p.startswith("## torch ")] + [part], reverse=True)
    return "\n".join([*intro, *versions])


if __name__ == "__main__":
    main()
