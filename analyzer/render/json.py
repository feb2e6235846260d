"""The report as JSON, for tools."""

from __future__ import annotations

from analyzer.escaping import as_json
from analyzer.report import Report


def render(report: Report) -> bytes:
    """The report in its JSON form, one line per key at the top, keys in the documented order."""
    body = ",\n".join(
        f" {as_json(key)}: {as_json(value, None, readable=True)}" for key, value in report.to_json().items()
    )
    return f"{{\n{body}\n}}\n".encode()
