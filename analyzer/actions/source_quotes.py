"""Quotes the source lines that findings and their origins name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.foreign import is_file, read_small
from analyzer.foreign.links import lies_in
from analyzer.ir.findings import Finding, Operand, Origin


def quote(findings: Iterable[Finding], folder: str) -> list[Finding]:
    """The findings, with the text of their lines; file names are relative to the folder or to installed packages."""

    @cache
    def lines(file: str) -> list[str]:
        path = find(file, folder)
        try:
            return read_small(path).decode("utf-8", "replace").splitlines() if path else []
        except AnalyzerError:
            return []

    def text(file: str, line: int) -> str:
        found = lines(file) if file else []
        return found[line - 1].strip() if 0 < line <= len(found) else ""

    def origin(one: Origin) -> Origin:
        return replace(one, source=text(one.file, one.line))

    def operand(one: Operand) -> Operand:
        return replace(one, origins=tuple(map(origin, one.origins)))

    return [
        replace(one, source=text(one.file, one.line), operands=tuple(map(operand, one.operands))) for one in findings
    ]


def find(file: str, folder: str) -> Path | None:
    """Where the Python file lies that a report names, in the model's folder or an installed package; else None.

    A program that somebody else saved may name any file.
    """
    given = Path(folder)
    roots = [given.parent if given.is_file() else given] if folder else []
    if not file.endswith(".py"):
        return None
    return next((path for root in [*roots, packages()] if is_file(path := root / file) and lies_in(path, root)), None)


@cache
def packages() -> Path:
    """The folder of the installed packages, to which a report's file names are relative."""
    spec = find_spec("torch")
    where = spec.submodule_search_locations if spec else None
    return Path(where[0]).parent if where else Path("/")
