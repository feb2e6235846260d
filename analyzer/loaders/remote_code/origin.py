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
from analyzer.loaders.remote_code.failing_code import Failing

OLDEST: Final = ((4, 36), "4.36.2")
"""The first transformers that a worker runs with, and its last patch."""
_RELEASE: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(\.?(?:dev|rc)\d{0,4})?", re.ASCII)
_LONGEST: Final = 110
"""Characters of a command; a longer one would be cut where it is shown."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of the world that a model's code was written in, and how the run was asked for."""

    settings: Mapping[str, object] = field(default_factory=dict)
    """What config.json says."""
    command: tuple[str, ...] = ()
    """The words that ask for this run again, without other releases of transformers."""
    beside: str = ""
    """An interpreter of the person's own that is not used, such as .venv/bin/python."""
    beside_has: Mapping[str, str] = field(default_factory=dict)
    """Packages there, with their releases."""

    @property
    def release(self) -> str:
        """The release of transformers that wrote config.json, "" where it does not say."""
        said = self.settings.get("transformers_version")
        return said if isinstance(said, str) else ""

    def explained(
        self, error: BaseException, roots: Sequence[str], *, building: bool = False, sure: bool = True
    ) -> str:
        """What to do about an error of drift, with what the library has otherwise; "" for any other.

        `sure` leaves out errors that were only raised inside of a library.
        """
        drift = drift_of(Failing(error, tuple(roots), self.settings, building))
        if drift is None or (sure and not drift.sure):
            return ""
        try:
            installed = version(_distribution(drift.library))
        except PackageNotFoundError:
            installed = ""
        had = f", {drift.had} had it" if drift.had else ""
        what = f"{drift.library} {installed} {drift.what}{had}".replace("  ", " ") if drift.what else ""
        if drift.library == "transformers":
            return "; ".join(filter(None, [what, self._way(drift, installed)]))
        if drift.library == "torch":
            return f"{what}: --python names an environment with another torch"
        other = f"--with '{_distribution(drift.library)}==RELEASE'"
        return f"{what}: another release of it may do, such as {other}{self.also(drift.library, installed)}"

    def _way(self, drift: Drift, installed: str) -> str:
        """How to trace with the release of transformers that the code wants; "" where that is not known to help."""
        had, named, here = _minor(drift.had), _minor(self.release), _minor(installed)
        if not drift.known and (named is None or here is None or named <= here):
            return ""
        if had is not None and (named is None or named > had or self.release == installed):
            return self._with(f"{drift.had}.*", had) if had >= OLDEST[0] else f"analyze runs with {OLDEST[1]} and later"
        if named is None:
            return "config.json names no release: --with 'transformers==RELEASE' traces with another one"
        if _requirement(self.release) == _requirement(installed):
            return "config.json names this very release" if drift.sure else ""
        why = f"config.json names {self.release}"
        if named < OLDEST[0]:
            return f"{why}, {OLDEST[1]} is the oldest that analyze runs with: {self._with(OLDEST[1], OLDEST[0])}"
        return f"{why}: {self._with(_requirement(self.release), named)}"

    def _with(self, release: str, minor: tuple[int, int]) -> str:
        """The command that traces with a release of transformers: in an environment of the person's own that has it."""
        there = self.beside_has.get("transformers", "")
        if _minor(there) == minor:
            return self._again("--python", self.beside)
        command = self._again("--with", f"transformers=={release}")
        other = f", or --python {_joined([self.beside])} with {there}" if there else ""
        return command + (other if len(command + other) <= _LONGEST else "")

    def _again(self, *more: str) -> str:
        whole = _joined([*self.command, *more])
        return whole if self.command and len(whole) <= _LONGEST else f"the same command with {_joined(more)}"

    def also(self, package: str, installed: str = "") -> str:
        """That another interpreter of the person's own has a package, if it has it in another release; else ""."""
        release = self.beside_has.get(package)
        if release is None or (installed and release == installed):
            return ""
        return f", or --python {_joined([self.beside])}, which has {release or 'it'}"


def _minor(release: str) -> tuple[int, int] | None:
    """A release up to its minor number; None for what is none.

    >>> _minor("4.44.2"), _minor("x")
    ((4, 44), None)
    """
    known = _RELEASE.fullmatch(release)
    return (int(known[1]), int(known[2])) if known else None


def _requirement(release: str) -> str:
    """What to ask an index for to get a release; of one before its time any of its minor number.

    >>> _requirement("4.44.2"), _requirement("4.48.0.dev0"), _requirement("4.48")
    ('4.44.2', '4.48.*', '4.48.*')
    """
    known = _RELEASE.fullmatch(release)
    if known is None:
        return ""
    major, minor, patch, early = known.groups()
    return f"{major}.{minor}.*" if early or patch is None else f"{major}.{minor}.{patch}"


def _distribution(package: str) -> str:
    """The name under which a package is installed."""
    return next(iter(packages_distributions().get(package, ())), package)


def _joined(words: Sequence[str]) -> str:
    """Words as a shell takes them."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
