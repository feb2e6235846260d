"""Reads a log as GitHub's runner does: which lines are commands to it, and which are only shown."""

from __future__ import annotations

import re
from typing import Final

_COMMAND: Final = re.compile(r"\s*::([\w-]+)(?: [^:]*(?:%3A[^:]*)*)?::(.*)")
_OLD: Final = re.compile(r".*##\[(\w+)")


def read_log(log: str) -> tuple[list[str], list[str]]:
    """The lines that are obeyed, without those that stop commands, and all others."""
    obeyed, shown, stopped = [], [], ""
    for line in log.splitlines():
        command = _COMMAND.match(line)
        if stopped and command and command[1] == stopped:
            stopped = ""
        elif not stopped and command and command[1] == "stop-commands":
            stopped = command[2]
        elif not stopped and (command or _OLD.match(line)):
            obeyed.append(line)
        else:
            shown.append(line)
    assert not stopped, "commands stay stopped"
    return obeyed, shown


def read_outputs(text: str) -> dict[str, str]:
    """What a step wrote into GITHUB_OUTPUT: `name=value`, or lines up to a word of the step's own."""
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        name, heredoc, end = line.partition("<<")
        if heredoc and "=" not in name:
            found[name] = "\n".join(iter(lambda end=end: next(lines), end))  # type: ignore[misc]
        else:
            name, _, found[name] = line.partition("=")
    return found
