"""What to do where the model's code and a library have drifted apart, as a command that works as it is printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Final

from analyzer.loaders.remote_code.drift import Drift, drift_of

OLDEST: Final = ((4, 36), "4.36.2")
"""The first transformers that a worker runs with, and its last patch."""
_RELEASE: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(\.?(?:dev|rc)\d*)?")
_LONGEST: Final = 100
"""Characters of a command; a longer one would be cut where it is shown."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of the world that a model's code was written in, and how the run was asked for."""

    release: str = ""
    """`transformers_version` in config.json."""
    command: tuple[str, ...] = ()
    """The words that ask for this run again, without other releases of transformers."""
    beside: str = ""
    """An interpreter of the person's own that is not used, such as .venv/bin/python."""
    beside_has: Mapping[str, str] = field(default_factory=dict)
    """Packages there, with their releases."""

    def explained(
        self, error: BaseException, roots: Sequence[str], *, building: bool = False, sure: bool = True
    ) -> str:
        """What to do about an error of drift, with what the library has otherwise; "" for any other.

        `sure` leaves out errors that were only raised inside of a library.
        """
        drift = drift_of(error, roots, building=building)
        if drift is None or (sure and not drift.sure):
            return ""
        try:
            installed = version(_distribution(drift.library))
        except PackageNotFoundError:
            installed = ""
        had = f", {drift.had} had it" if drift.had else ""
        what = f"{drift.library} {installed} {drift.what}{had}".replace("  ", " ") if drift.what else ""
        return self._said(drift, installed, what).removeprefix("; ").removeprefix(", and ").removeprefix(": ")

    def _said(self, drift: Drift, installed: str, what: str) -> str:
        if drift.library == "torch":
            return f"{what}: --python names an environment with another torch"
        if drift.library != "transformers":
            name = _distribution(drift.library)
            also = self.also(drift.library, installed)
            return f"{what}: another release of it may do, such as --with '{name}==RELEASE'{also}"
        wanted = _wanted(self.release)
        if not drift.known and not _is_newer(self.release, installed):
            return what
        if wanted and wanted != _wanted(installed):
            return f"{what}; {self._written()}{self.also('transformers', installed)}: {self.again(wanted)}"
        if drift.had:
            return f"{what}{self.also('transformers', installed)}: {self.again(f'{drift.had}.*')}"
        if wanted:
            return f"{what}, and config.json names this release" if drift.sure else ""
        return f"{what}, and config.json names no release: --with 'transformers==RELEASE' traces with another one"

    def _written(self) -> str:
        known = _RELEASE.fullmatch(self.release)
        old = known is not None and (int(known[1]), int(known[2])) < OLDEST[0]
        least = f", and {OLDEST[1]} is the oldest that analyze runs with" if old else ""
        return f"config.json names {self.release}{least}"

    def again(self, release: str) -> str:
        """The command that traces with a release of transformers."""
        more = ["--with", f"transformers=={release}"]
        whole = _joined([*self.command, *more])
        if self.command and len(whole) <= _LONGEST:
            return whole
        return f"the same command with {_joined(more)}"

    def also(self, package: str, installed: str = "") -> str:
        """That another interpreter of the person's own has a package, if it has it in another release; else ""."""
        release = self.beside_has.get(package)
        if release is None or (installed and release == installed):
            return ""
        return f" ({self.beside} has {release or 'it'}: --python {_joined([self.beside])})"


def _wanted(release: str) -> str:
    """What to ask an index for to get a release, or the nearest one that is supported; "" for what is none.

    >>> _wanted("4.44.2"), _wanted("4.48.0.dev0"), _wanted("4.31.0"), _wanted("x")
    ('4.44.2', '4.48.*', '4.36.2', '')
    """
    known = _RELEASE.fullmatch(release)
    if known is None:
        return ""
    major, minor, patch, early = known.groups()
    if (int(major), int(minor)) < OLDEST[0]:
        return OLDEST[1]
    return f"{major}.{minor}.*" if early or patch is None else f"{major}.{minor}.{patch}"


def _is_newer(release: str, installed: str) -> bool:
    """Whether a release comes after the installed one."""
    parts = [tuple(int(one or 0) for one in found.groups()[:3]) for found in map(_RELEASE.match, (release, installed))
             if found is not None]  # fmt: skip
    return len(parts) == 2 and parts[0] > parts[1]


def _distribution(package: str) -> str:
    """The name under which a package is installed."""
    return next(iter(packages_distributions().get(package, ())), package)


def _joined(words: Sequence[str]) -> str:
    """Words as a shell takes them."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
