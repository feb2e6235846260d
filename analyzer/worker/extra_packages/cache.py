"""Keeps what was installed: a folder for each set of packages, which is there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.worker.extra_packages.base import Base, asked
from analyzer.worker.extra_packages.installers import install

_FORMAT: Final = 1
"""Of what is kept; another one is made anew."""
_OURS: Final = "analyze"
"""The installer of what only says that the base has a package."""
_MADE: Final = ".making-"
_BUILT_FOR_TORCH: Final = ("torchvision", "torchaudio")
"""Packages with libraries that one build of torch loads."""
_OLD: Final = 24 * 3600.0
"""Seconds after which what an ended run left half made is removed."""


def packages_folder(requirements: Sequence[str], python: str, tell: Callable[[str], None]) -> Path:
    """The folder with these packages for an interpreter, made now if it is not there; `tell` hears how far that is.

    What others make at the same time under the same key is as good. Raises AnalyzerError where it cannot be made.
    """
    root = _root()
    if os.sep in python:
        python = os.path.abspath(python)  # noqa: PTH100 (resolved, it would be another interpreter)
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_MADE, dir=root, ignore_cleanup_errors=True) as scratch:
            base = asked(python, Path(scratch))
            place = root / _key(requirements, base)
            if not place.is_dir():
                _sweep(root)
                made = _made(requirements, base, Path(scratch), tell)
                with suppress(OSError):  # somebody else was faster
                    made.rename(place)
    except OSError as error:
        hint = "XDG_CACHE_HOME says where packages are kept" if os.name != "nt" else "is the disk full?"
        raise AnalyzerError(f"{root} cannot be written: {error.strerror or error}", hint=hint) from error
    return place


def _root() -> Path:
    """Where packages are kept: the cache folder of the person who runs this."""
    if os.name == "nt":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path.home() / ".cache"
    given = Path(os.environ.get("XDG_CACHE_HOME") or cache)
    return (given if given.is_absolute() else cache) / "analyze" / "packages"


def _key(requirements: Sequence[str], base: Base) -> str:
    """A name for a set of packages beside those of an interpreter: torch, transformers and all that it has count."""
    facts = [_FORMAT, sorted(requirements), base.version, base.kind, sorted(info.name for info in base.infos)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _made(requirements: Sequence[str], base: Base, scratch: Path, tell: Callable[[str], None]) -> Path:
    """A folder with the packages, as an installer that thinks that the base's are there too leaves it."""
    torch = base.release("torch")
    if not torch:
        raise AnalyzerError(f"{base.python} has no torch", hint=f"{base.python} -m pip install torch")
    folder = scratch / "environment"
    done = subprocess.run(
        [base.python, "-m", "venv", "--without-pip", str(folder)], capture_output=True, text=True, cwd=scratch
    )  # fmt: skip
    packages = next(iter([*folder.glob("lib/python*/site-packages"), *folder.glob("Lib/site-packages")]), None)
    if done.returncode or packages is None:
        words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise AnalyzerError(f"{base.python} -m venv: {''.join(words)}", hint="--python takes an environment of yours")
    for info in base.infos:
        _pretend(info, packages)
    constraints = scratch / "constraints.txt"
    constraints.write_text(f"torch=={torch}\n", encoding="utf-8")
    install(requirements, base, folder, constraints, tell)
    for info in packages.glob("*.dist-info"):
        if _text(info / "INSTALLER") == _OURS:
            shutil.rmtree(info)
    _drop_unfit(requirements, torch, packages)
    tell("compiling the packages")  # a worker may write nothing there; to compile a file runs none of it
    compile_all = [base.python, "-m", "compileall", "-q", "-j", "0", str(packages)]
    subprocess.run(compile_all, capture_output=True, cwd=scratch, check=False)
    return packages


def _drop_unfit(requirements: Sequence[str], torch: str, packages: Path) -> None:
    """Remove what was built for another torch than the base's, as if it could not be installed.

    A torch that says what it was built for, as in 2.13.0+cpu, is not the one of the index that others are built for.
    """
    label = torch.partition("+")[2]
    for name in _BUILT_FOR_TORCH if label else ():
        for info in packages.glob(f"{name}-*.dist-info"):
            release = info.stem.partition("-")[2]
            if release.partition("+")[2] == label:
                continue
            if any(re.match(rf"{name}(?![\w-])", one) for one in requirements):
                message = f"--with {name}: {release} is built for another torch than {torch}"
                raise AnalyzerError(message, hint=f"--stub {name} stands in for it, --python names an environment")
            for part in {line.split("/")[0] for line in _text(info / "RECORD").splitlines()} - {"..", ""}:
                shutil.rmtree(packages / part, ignore_errors=True)


def _pretend(info: Path, packages: Path) -> None:
    """Let an installer see a package of the base in another place; if it puts in another one, this one goes."""
    metadata = _text(info / "METADATA") or _text(info / "PKG-INFO")
    if not metadata:
        return
    place = packages / info.with_suffix(".dist-info").name
    place.mkdir(exist_ok=True)
    texts = {"METADATA": metadata, "INSTALLER": _OURS}
    for name, text in texts.items():
        (place / name).write_text(text, encoding="utf-8")
    lines = [f"{place.name}/{name},,\n" for name in (*texts, "RECORD")]
    (place / "RECORD").write_text("".join(lines), encoding="utf-8")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _sweep(root: Path) -> None:
    """Remove what runs that were ended left half made."""
    for place in root.glob(f"{_MADE}*"):
        with suppress(OSError):
            if time.time() - place.stat().st_mtime > _OLD:
                shutil.rmtree(place, ignore_errors=True)
