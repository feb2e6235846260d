"""A check as GitHub workflow commands: lines on stdout that become annotations of a pull request."""

from __future__ import annotations

from analyzer.check import Check, Judged
from analyzer.check.judgement import NEW, Spot
from analyzer.escaping import as_command_data, as_command_property
from analyzer.render.check.words import early, headline, message, remarks, title


def render(check: Check) -> bytes:
    """New findings as errors and warnings, known ones as notices; GitHub shows ten of each kind a step."""
    lines = [_command(_level(one), message(one), _at(one.spot, title(one))) for one in check.shown]
    if check.stop is not None:
        level = "warning" if check.allow_incomplete else "error"
        lines.append(_command(level, early(check), _at(check.stop, "analyze")))
    lines += [_command("notice", text) for text in remarks(check)]
    lines.append(_command("notice", f"{check.folder}: {headline(check)}"))
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _level(one: Judged) -> str:
    return one.finding.severity if one.state == NEW else "notice"


def _at(spot: Spot, title: str) -> dict[str, str]:
    return {"file": spot.path, "line": str(spot.line), "title": title}


def _command(level: str, text: str, about: dict[str, str] | None = None) -> str:
    named = about or {"title": "analyze"}
    properties = ",".join(f"{key}={as_command_property(value)}" for key, value in named.items())
    return f"::{level} {properties}::{as_command_data(text)}"
