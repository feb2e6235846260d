"""Runs uv or pip, and says in one line why it could not install something."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.worker.extra_packages.base import Base

_WHEELS: Final = ("--only-binary", ":all:")
"""Nothing is built: to build a package is to run its code, and here nothing would confine it."""
_SHARED: Final = (22, 3)
"""The first pip that installs into another interpreter."""
_STEPS: Final = ("Collecting", "Downloading", "Installing", "Resolved", "Prepared", "Using cached")
"""Words at the beginning of a line that says how far it is."""
_LINES: Final = 2000
_UNREACHED: Final = re.compile(
    r"NameResolutionError|NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError"
    r"|name resolution|Connection refused|Network is unreachable|error sending request|Failed to fetch"
)
_REASON: Final = re.compile(r"\[Errno -?\d+\] ([\w ]+)|(Connection refused|Network is unreachable|timed out)")
_CAUSE: Final = re.compile(r"\s+(?:╰─▶|cause:|Caused by:)")
"""What leads the reason, as uv writes it."""
_FROM: Final = re.compile(r"satisfies the requirement (?P<what>\S.*?) \(from versions: (?P<there>.*)\)")


def install(
    requirements: Sequence[str], base: Base, folder: Path, constraints: Path, tell: Callable[[str], None]
) -> None:
    """Install packages into a virtual environment. Raises AnalyzerError with the installer's own reason."""
    what = " ".join(requirements)
    tell(f"installing {what}")
    python = folder / ("Scripts/python.exe" if (folder / "Scripts").is_dir() else "bin/python")
    command = [*_installer(base, python), *_WHEELS, "-c", str(constraints), *requirements]
    code, lines = _run(command, folder.parent, lambda line: tell(f"installing {what}: {line}"))
    if code:
        name = "uv" if Path(command[0]).stem == "uv" else "pip"
        asked = " ".join(f"--with {shlex.quote(one)}" for one in requirements)
        words = f"{asked}: {name} cannot install it: {reason(lines, base)}"
        raise AnalyzerError(words, hint="nothing is built from source, and torch stays as it is")


def _installer(base: Base, python: Path) -> list[str]:
    """The command that installs into the environment of `python`, up to what is installed: uv if it is there.

    None may start that Python once packages are in it, as what they want run at its start would run.
    """
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", str(python)]
    options = ["install", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    for one, release in ((sys.executable, _own_pip()), (base.python, base.release("pip"))):
        if tuple(int(part) for part in re.findall(r"\d+", release)[:2]) >= _SHARED:
            return [one, "-m", "pip", "--python", str(python), *options]
    code, lines = _run([str(python), "-m", "ensurepip", "--default-pip"], python.parent, lambda _: None)
    if code:
        last = lines[-1] if lines else ""
        raise AnalyzerError(f"--with needs uv or pip, and neither is there: {last}", hint="pip install uv")
    return [str(python), "-m", "pip", *options]


def _own_pip() -> str:
    try:
        return version("pip")
    except PackageNotFoundError:
        return ""


def _run(command: Sequence[str], folder: Path, tell: Callable[[str], None]) -> tuple[int, list[str]]:
    """The exit code of a command and what it said; it is ended if this is. Its settings are the person's own."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        return 1, [f"ERROR: {command[0]}: {error.strerror}"]
    assert process.stdout is not None
    lines: list[str] = []
    try:
        with process.stdout:
            for line in process.stdout:
                lines = [*lines[-_LINES:], line.rstrip()]
                if line.strip().startswith(_STEPS):
                    tell(line.strip())
        return process.wait(), lines
    finally:
        with suppress(OSError):
            process.kill()
        process.wait()


def reason(lines: Sequence[str], base: Base) -> str:
    """Why an installer failed, from what it said."""
    said = _no_index(lines) or _no_wheel(lines, base) or "; ".join(_below(lines, "The conflict is caused by:"))
    causes = [_plain(line) for line in lines if _CAUSE.match(line)]
    errors = [_plain(line) for line in lines if line.lower().startswith("error:")]
    last = [line.strip() for line in lines if line.strip()]
    return said or "; ".join(causes or errors[:1] or last[-1:]) or "it does not say why"


def _no_index(lines: Sequence[str]) -> str:
    unreached = next((line for line in lines if _UNREACHED.search(line)), None)
    why = _REASON.search(unreached) if unreached else None
    words = f" ({why.group(why.lastindex or 0).strip()})" if why else ""
    return f"no package index can be reached{words}" if unreached else ""


def _no_wheel(lines: Sequence[str], base: Base) -> str:
    found = next(filter(None, map(_FROM.search, lines)), None)
    if found is None:
        return ""
    there = [one for one in found["there"].split(", ") if one != "none"]
    newest = f"; the newest release with one is {there[-1]}" if there else ""
    python = ".".join(map(str, base.version[:2]))
    return f"there is no wheel of {found['what']} for Python {python} on {base.kind[-1]}{newest}"


def _below(lines: Sequence[str], head: str) -> list[str]:
    """The indented lines below a line that begins so."""
    start = next((number + 1 for number, line in enumerate(lines) if line.startswith(head)), len(lines))
    return [_plain(line) for line in takewhile(lambda line: line.startswith(" "), lines[start:])]


def _plain(line: str) -> str:
    """A line without what leads it."""
    return re.sub(r"^(?:[^\w'\"]+|ERROR:|error:|[cC]ause(?:d by)?:)+", "", line).strip()
