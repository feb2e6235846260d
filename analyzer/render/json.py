"""The report as JSON, for tools."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import BinaryIO, Final

from analyzer.escaping import as_json
from analyzer.report import Report
from analyzer.report.writer import Rows, plain_report

_AT_ONCE: Final = 1000
"""How many rows of a long list are plain data at a time."""


def render(report: Report) -> bytes:
    """The report in its JSON form, one line per key at the top, keys in the documented order."""
    made = BytesIO()
    write(report, made)
    return made.getvalue()


def write(report: Report, file: BinaryIO) -> None:
    """Write what `render` gives as it is made: of a large model it is two hundred megabytes."""
    file.write(b"{")
    for number, (key, value) in enumerate(plain_report(report, Rows.later).items()):
        file.write(f"{',' if number else ''}\n {as_json(key)}: ".encode())
        for text in _texts(value):
            file.write(text.encode())
    file.write(b"\n}\n")


def _texts(value: object) -> Iterator[str]:
    """A value as JSON, in parts: what holds a long list is opened, and its rows are made and written by and by."""
    if isinstance(value, Rows):
        rows, before = iter(value), "["
        while some := list(islice(rows, _AT_ONCE)):
            yield before + _text(some)[1:-1]
            before = ", "
        yield "[]" if before == "[" else "]"
    elif isinstance(value, dict) and _holds_rows(value):
        for number, (key, part) in enumerate(value.items()):
            yield f"{', ' if number else '{'}{_text(key)}: "
            yield from _texts(part)
        yield "}"
    elif isinstance(value, list) and any(map(_holds_rows, value)):
        for number, part in enumerate(value):
            yield ", " if number else "["
            yield from _texts(part)
        yield "]"
    else:
        yield _text(value)


def _holds_rows(value: object) -> bool:
    """Whether an object, such as a stage or its graph, has a long list among its values."""
    return isinstance(value, dict) and any(isinstance(part, Rows) for part in value.values())


def _text(value: object) -> str:
    return as_json(value, None, readable=True)
