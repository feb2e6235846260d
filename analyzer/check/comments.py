"""Suppressions at the source line: `# analyzer: ignore[DT101] reason`, in the Python files of a model folder."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from analyzer.check.suppressions import Suppression, known
from analyzer.errors import AnalyzerError
from analyzer.foreign import read_small_text

_COMMENT: Final = re.compile(r"#\s*analyzer:\s*ignore\b\s*(?:\[(?P<codes>[^\]]*)\])?(?P<reason>.*)")


def commented(model: Path, rules: Mapping[str, str]) -> Iterator[Suppression]:
    """Every suppression in a model's folder or file, file by file; one that is not valid carries the fault."""
    folder = model if model.is_dir() else model.parent
    for path in sorted(model.rglob("*.py")) if model.is_dir() else [model] * (model.suffix == ".py"):
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue
        try:
            text = read_small_text(path)
        except AnalyzerError:
            continue  # Python could not run it either
        yield from in_text(text, name.as_posix(), rules)


def in_text(text: str, file: str, rules: Mapping[str, str]) -> Iterator[Suppression]:
    """The suppressions in the text of one file: a comment is about the statement, or the header, that it stands in."""
    if "analyzer:" not in text:
        return
    try:
        statements = list(_statements(ast.parse(text)))
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return  # Python could not run it either
    for token in tokens:
        found = _COMMENT.match(token.string) if token.type == tokenize.COMMENT else None
        if found:
            line = token.start[0]
            first, last = min(((a, b) for a, b in statements if a <= line <= b), key=_length, default=(line, line))
            yield _suppression(found, f"{file}:{line}", file, first, last, rules)


def _suppression(
    found: re.Match[str], where: str, file: str, first: int, last: int, rules: Mapping[str, str]
) -> Suppression:
    reason, fault, codes = found["reason"].strip(" :-"), "", []
    for word in filter(None, (part.strip() for part in (found["codes"] or "").split(","))):
        try:
            codes.append(known(word, where, rules))
        except AnalyzerError as error:
            fault = error.message.removeprefix(f"{where}: ")
    if not codes and not fault:
        fault = "it names no code, as in ignore[DT101]"
    elif not reason:
        fault = fault or "it gives no reason"
    return Suppression(tuple(codes), reason, where, file=file, first=first, last=last, fault=fault)


def _statements(tree: ast.AST) -> Iterator[tuple[int, int]]:
    """First and last line of every simple statement, and of the header of every other."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None) or getattr(node, "cases", None)
            first = body[0] if body else None
            inside = getattr(first, "lineno", None) or getattr(getattr(first, "pattern", None), "lineno", None)
            decorated = [d.lineno for d in getattr(node, "decorator_list", [])]
            last = max(node.lineno, inside - 1) if inside else (node.end_lineno or node.lineno)
            yield min([node.lineno, *decorated]), last


def _length(span: tuple[int, int]) -> int:
    return span[1] - span[0]
