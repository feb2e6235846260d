"""Traces one folder with the command that a person types, and once more with what its words say to do."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

AT_ONCE, HINTED, STOPPED, MISSING = "at once", "with one hint", "stopped", "not laid out"
"""Outcomes: traced to the end by the first command; by a second one, as the first one's words say; not; no mirror."""
LONGEST: Final = 400
"""Seconds of the clock; the command ends itself after 300."""
_FLAG: Final = r"--(?:stub|with|only|max-memory|deadline|input-dtype|python)[ =](?:'[^'\n]+'|[\w.,:=*<>/~+-]*[\w*])"
BESIDE: Final = "a folder beside:"
"""Said as the hint where a config was put beside the folder."""
_BESIDE: Final = re.compile(r"put its folder beside the model, as ([\w.-]+)")
_PLACEHOLDER: Final = re.compile(r"\.\.\.$|^[A-Z]+$")
_FLAGS: Final = re.compile(rf"{_FLAG}(?: {_FLAG})*")
_TEMPLATE: Final = re.compile(r'write a file (\S+): "import torch", then "(.+?)", and pass it with --inputs')


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one folder; the figures are those of the last run."""

    name: str
    outcome: str
    hint: str = ""
    """What was added to the command, as its words said."""
    why: str = ""
    """What the last run said where it stopped, what the first did where a hint helped."""
    model: str = ""
    """The class that was traced."""
    ops: int = 0
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    """Of the processor."""
    mib: int = 0
    """Peak memory of the largest process."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one command came to."""

    report: dict[str, Any]
    words: str
    seconds: float
    mib: int

    @property
    def complete(self) -> bool:
        return bool(self.report.get("complete"))


def trace(name: str, folder: Path, core: int, lay_beside: Callable[[], None] = lambda: None) -> Row:
    """Trace it on one core: with no hint, else with the first of those that it gets which lets it run to its end.

    Where its words say to put a model's folder beside it, what `lay_beside` writes there is the one hint.
    """
    said = command(folder, (), core)
    if said.complete:
        return _row(name, AT_ONCE, "", "", said)
    told = said.words
    if beside := _BESIDE.search(told):
        lay_beside()
        if (folder.parent / beside[1]).is_dir():
            said = command(folder, (), core)
            if said.complete:
                return _row(name, HINTED, f"{BESIDE} {beside[1]}", told, said)
            return _row(name, STOPPED, "", f"{told} THEN {BESIDE} {beside[1]}: {said.words}", said)
    with tempfile.TemporaryDirectory() as place:
        for words in hints(said.words, Path(place)):
            hint = " ".join(words).replace(place, ".")
            said = command(folder, words, core)
            if said.complete:
                return _row(name, HINTED, hint, told, said)
            told += f" THEN {hint}: {said.words}"
    return _row(name, STOPPED, "", told, said)


def hints(words: str, place: Path) -> list[tuple[str, ...]]:
    """What the words of a command that stopped say to add to it, each way out by itself; a file is written as told.

    A command that is printed whole is taken whole.

    >>> hints("needs timm (pip install timm, or trace without it: --stub timm)", Path())
    [('--stub', 'timm')]
    >>> hints("it reads the input x: give yours with --inputs FILE", Path())
    []
    >>> hints("trace it with: analyze trace m --with transformers==4.44.2 --stub auto", Path())
    [('--with', 'transformers==4.44.2', '--stub', 'auto')]
    >>> hints("(pip install timm, or trace with it: --with timm --with addict, or without: --stub auto)", Path())
    [('--stub', 'auto'), ('--with', 'timm', '--with', 'addict')]
    >>> hints("as in --with 'timm==...', or --stub timm", Path())
    [('--stub', 'timm')]
    """
    whole = re.findall(r"analyze trace [^\n]*", words)
    rest = re.sub(r"analyze trace [^\n]*", "", words)
    found = [tuple(part for text in _FLAGS.findall(line) for part in shlex.split(text)) for line in whole]
    found += [tuple(shlex.split(text)) for text in _FLAGS.findall(rest)]
    if template := _TEMPLATE.search(words):
        file = place / template[1]
        file.write_text(f"import torch\n{template[2]}\n")
        found.append(("--inputs", str(file)))
    found.sort(key=lambda flags: "--with" in flags)  # last: an environment takes minutes to make
    return [flags for flags in dict.fromkeys(found) if flags and not any(map(_PLACEHOLDER.search, flags))]


def command(folder: Path, words: tuple[str, ...], core: int) -> Said:
    """Run `analyze trace FOLDER --trust-remote-code` with more words on one core."""
    with tempfile.TemporaryDirectory() as place:
        report, said = Path(place, "report.json"), Path(place, "said")
        line = [sys.executable, "-m", "analyzer", "trace", str(folder)]
        line += ["--trust-remote-code", *words, "--out", str(report)]
        with said.open("w") as stream:
            process = subprocess.Popen(
                line, stdout=subprocess.DEVNULL, stderr=stream, start_new_session=True, env=_environment(),
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )  # fmt: skip
            late = threading.Timer(LONGEST, lambda: os.killpg(process.pid, signal.SIGKILL))
            late.start()
            _, status, usage = os.wait4(process.pid, 0)
            late.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
        told = said.read_text(errors="replace").replace(str(folder), "DIR")
        data = json.loads(report.read_text()) if report.is_file() else {}
        if process.returncode < 0:
            told += f" the process ended with {process.returncode}"
    told = told or str((data.get("coverage") or {}).get("incomplete") or "")
    return Said(data, _plain(told), round(usage.ru_utime + usage.ru_stime, 1), usage.ru_maxrss >> 10)


def _environment() -> dict[str, str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **one, "COLUMNS": "10000", "NO_COLOR": "1"}


def _plain(text: str) -> str:
    return re.sub(r"\s*\n\s*", " / ", re.sub(r"\x1b\[[0-9;]*m", "", text).strip())


def _row(name: str, outcome: str, hint: str, why: str, said: Said) -> Row:
    report = said.report
    told: dict[str, list[str]] = {"error": [], "warning": [], "note": []}
    for finding in report.get("findings") or []:
        place = f"{finding['file']}:{finding['line']}"
        told[finding["severity"]].append(f"{finding['code']} {finding['message'][:160]} at {place}")
    return Row(
        name, outcome, hint, why, (report.get("model") or {}).get("class", ""),
        (report.get("coverage") or {}).get("ops", 0), tuple(told["error"]), tuple(told["warning"]),
        said.seconds, said.mib,
    )  # fmt: skip
