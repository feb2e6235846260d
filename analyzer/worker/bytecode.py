"""Compiles what is imported, once, before a worker is confined: then it may write into its scratch folder alone.

Installers such as uv leave that to the first import. Without it every trace would compile torch and transformers again.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

LARGE: Final = ("torch", "transformers.modeling_utils")
"""What a trace imports first; with these is compiled whatever they import."""
_OURS: Final = Path(__file__).resolve().parents[1]
_IMPORT: Final = "import sys; sys.path[:] = [path for path in sys.path if path]; import {}"
"""Like a worker, it imports nothing from the current folder. A stranger's files are not read yet."""
_PATIENCE: Final = 120.0
"""Seconds that this may take; what is compiled until then stays."""


def compile_once(names: Iterable[str] = LARGE) -> None:
    """See that these modules and this package have bytecode, as far as their folders can be written. Raises nothing."""
    missing = [name for name in names if _is_uncompiled(name)]
    if missing:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        command = [sys.executable, "-c", _IMPORT.format(", ".join(missing))]
        try:
            subprocess.run(command, env=environment, capture_output=True, timeout=_PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return
    if not Path(__file__).with_name("__pycache__").is_dir() and os.access(_OURS, os.W_OK):
        compileall.compile_dir(_OURS, quiet=2)


def _is_uncompiled(name: str) -> bool:
    """Whether the file of a module has no bytecode beside it, and a process that may could write some."""
    top = find_spec(name.partition(".")[0])  # that of a module inside would import what is above it
    if top is None or top.origin is None or top.cached is None:
        return False
    folder = Path(top.origin).parent
    file = folder.joinpath(*name.split(".")[1:]).with_suffix(".py") if "." in name else Path(top.origin)
    cached = Path(top.cached).parent.joinpath(f"{file.stem}.{sys.implementation.cache_tag}.pyc")
    return file.is_file() and not cached.exists() and os.access(folder, os.W_OK)
