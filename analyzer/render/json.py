"""The report as JSON, for tools."""

from __future__ import annotations

from json import dumps

from analyzer.report import Report


def render(report: Report) -> bytes:
    """The report in its JSON form, one line per key at the top, keys in the documented order."""
    body = ",\n".join(
        f" {dumps(key)}: {dumps(value, ensure_ascii=False, allow_nan=False)}" for key, value in report.to_json().items()
    )
    return f"{{\n{body}\n}}\n".encode("utf-8", "backslashreplace")
