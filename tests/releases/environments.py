"""One environment for each release of transformers: a venv that sees the packages of this one behind its own.

What the release asks for and this Python does not have in that version is installed beside it; torch is this Python's.
"""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

FOLDER: Final = Path(__file__).parents[2] / "build" / "releases"
OLDEST: Final = Version("4.44")
_PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check")


def published() -> list[str]:
    """The newest patch of each minor release from the oldest on, oldest first, as the package index lists them."""
    said = subprocess.run([*_PIP, "index", "versions", "transformers"], capture_output=True, text=True, check=True)
    listed = re.search(r"Available versions: (.*)", said.stdout)
    assert listed is not None, said.stdout
    return newest_patches(listed[1].split(", "))


def newest_patches(versions: list[str]) -> list[str]:
    """The last of each minor release.

    >>> newest_patches(["5.1.0", "4.57.6", "4.57.1", "4.44.2", "4.43.4"])
    ['4.44.2', '4.57.6', '5.1.0']
    """
    newest: dict[tuple[int, int], Version] = {}
    for version in sorted(map(Version, versions)):
        if version >= OLDEST:
            newest[version.major, version.minor] = version
    return [str(version) for version in newest.values()]


def environment(version: str, folder: Path = FOLDER) -> Path:
    """The interpreter of the environment, which is made where it is not there yet."""
    home = folder / version
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if (home / "ready").is_file():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", home], check=True)
    packages = _packages(home)
    (packages / "base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    _install(python, f"transformers=={version}")
    while missing := sorted(_unmet(packages)):
        _install(python, *missing)
    (home / "ready").touch()
    return python


def _packages(home: Path) -> Path:
    at = {"base": str(home), "platbase": str(home)}
    return Path(sysconfig.get_path("purelib", "venv" if "venv" in sysconfig.get_scheme_names() else None, vars=at))


def _install(python: Path, *what: str) -> None:
    subprocess.run([*_PIP, "--python", str(python), "install", "--quiet", "--no-deps", *what], check=True)


def _unmet(packages: Path) -> Iterator[str]:
    """What the packages of the environment itself ask for, and do not find in it or behind it."""
    there: dict[str, Distribution] = {}
    for found in distributions(path=[str(packages), sysconfig.get_path("purelib")]):
        there.setdefault(canonicalize_name(found.metadata["Name"]), found)
    for own in distributions(path=[str(packages)]):
        for text in own.requires or ():
            asked = Requirement(text)
            if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
                continue
            have = there.get(canonicalize_name(asked.name))
            if have is None or not asked.specifier.contains(have.version, prereleases=True):
                yield str(asked)
