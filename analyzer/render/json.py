"""The report as JSON, for tools."""

from __future__ import annotations

from json import dumps
from unicodedata import category

from analyzer.report import Report


def render(report: Report) -> bytes:
    """The report in its JSON form, one line per key at the top, keys in the documented order."""
    body = ",\n".join(
        f" {dumps(key)}: {_visible(dumps(value, ensure_ascii=False, allow_nan=False))}"
        for key, value in report.to_json().items()
    )
    return f"{{\n{body}\n}}\n".encode()


def _visible(text: str) -> str:
    """The same JSON, with escapes for what a terminal would obey, or what cannot be seen or encoded."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or category(c) == "Zs" else dumps(c)[1:-1] for c in text)
