"""Finds the program of graphviz-pure, wherever pip has put it for the packages that this interpreter imports."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError

PACKAGE: Final = "graphviz-pure"
_NAME: Final = PACKAGE + (sysconfig.get_config_var("EXE") or "")
_BESIDE: Final = ("bin", "Scripts")
"""Folders of programs in one that `pip install --target` filled."""


@cache
def engine() -> str:
    """The path of the program. Raises AnalyzerError where there is none."""
    for folder in _folders():
        if os.access(program := folder / _NAME, os.X_OK) and program.is_file():
            return str(program)
    raise AnalyzerError(f"the layout engine {PACKAGE} is not installed", hint=f"pip install {PACKAGE}")


def _folders() -> Iterator[Path]:
    """Where programs lie: the interpreter's own, those of the package itself, a person's, those on PATH."""
    yield Path(sysconfig.get_path("scripts"))
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:  # its program may be there all the same
        pass
    else:
        # As in a layered environment: the program lies by the Python that the package was installed for.
        files = (Path(os.path.normpath(str(file.locate()))) for file in package.files or () if file.name == _NAME)
        yield from (file.parent for file in files)
        yield from (Path(str(package.locate_file(name))) for name in _BESIDE)
    yield Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    yield from (Path(entry) for entry in os.get_exec_path() if Path(entry).is_absolute())
