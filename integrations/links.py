"""Refuses paths of a checkout that a link of a stranger leads elsewhere; needs nothing but Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

WRITTEN = ("dtypes.sarif", "dtypes.xml", "dtypes.md")


def refusal(checkout: Path, report: str, read: Sequence[str]) -> str:
    """Why a run must not begin: a link on the way to the report, or one that leads what is read out of the checkout."""
    for name in WRITTEN:
        if any(_is_link(step) or step.name == ".." for step in _steps(checkout, f"{report}/{name}")):
            return f"the folder of the report, {report!r}, holds or passes a link or '..' in the checkout"
    for given in read:
        for path in filter(None, (given, given.partition("=")[2])):
            if _leads_out(checkout, path):
                return f"{path!r} is a link that leads out of the checkout, or into its .git"
    return ""


def _steps(checkout: Path, given: str) -> list[Path]:
    """The path itself and the folders on the way to it, as far as they lie in the checkout."""
    whole, tops = checkout / given, (checkout, Path(os.path.realpath(checkout)))
    return [step for step in (whole, *whole.parents) if any(top in step.parents for top in tops)]


def _leads_out(checkout: Path, given: str) -> bool:
    """Whether a link in the checkout leads a path out of it; what the workflow itself names elsewhere may be read."""
    if not any(_is_link(step) for step in _steps(checkout, given)):
        return False
    real, top = Path(os.path.realpath(checkout / given)), Path(os.path.realpath(checkout))
    return not real.is_relative_to(top) or ".git" in real.relative_to(top).parts


def _is_link(step: Path) -> bool:
    return os.path.islink(step)  # noqa: PTH114 (pathlib raises for an argument that is too long for a path)


if __name__ == "__main__":
    if words := refusal(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]):
        sys.exit(f"analyze: {words}")
