"""Forgets the modules of a model's own code, so that files which were edited since are read again."""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from analyzer.capture.patching import GONE, reset

_REMOTE: Final = ("_model_", "transformers_modules")
"""How names of packages begin that are a folder's own code; those of transformers where it imports one itself."""
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


def forget(known: Collection[str], roots: Collection[str]) -> None:
    """Forget every module that is not `known` and is the model's own: by its name, or by a file below a root.

    Packages that lie in an environment inside of the folder are not the model's own.
    """
    for name, module in list(sys.modules.items()):
        if name not in known and (name.startswith(_REMOTE) or _lies_in(module, roots)):
            reset(
                sys.modules, name, GONE, what="sys.modules: modules of the model's own code",
                why="A file that is edited between two traces has to be read again.",
            )  # fmt: skip
    importlib.invalidate_caches()
    linecache.checkcache()


def _lies_in(module: Any, roots: Collection[str]) -> bool:
    file = str(getattr(module, "__file__", None) or "")
    return any(file.startswith(root) and not _INSTALLED & set(Path(file[len(root) :]).parts) for root in roots)
