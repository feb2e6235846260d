"""Forgets a model's own code, its modules and operators, so that files which were edited since are read again."""

from __future__ import annotations

import functools
import importlib
import linecache
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from analyzer.capture.emulation.cuda import OWN, Asks
from analyzer.capture.patching import GONE, patched, reset

_REMOTE: Final = ("_model_", "transformers_modules")
"""How names of packages begin that are a folder's own code; those of transformers where it imports one itself."""
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_TORCH: Final = (str(Path(torch.__file__).parent) + os.sep, functools.__file__)
"""Files of torch, whose `define` is a `singledispatch`."""


@contextmanager
def gathered(asks: Asks, libraries: list[object]) -> Iterator[None]:
    """While this lasts, add each `torch.library.Library` that the model's own code makes, itself or through torch."""
    make: Any = torch.library.Library.__init__

    def init(self: object, *args: object, **kwargs: object) -> None:
        make(self, *args, **kwargs)
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(_TORCH):
            frame = frame.f_back
        if asks(frame) == OWN:
            libraries.append(self)

    why = "Operators of the model's own code are taken back, as nothing else lets it define them again."
    with patched(torch.library.Library, "__init__", init, why=why):
        yield


def forget(known: Collection[str], path: Collection[str], roots: Collection[str]) -> None:
    """Forget every module that is the model's own, by its name, or by a file below a root.

    Not the model's own are parts of what was `known` before, and packages that lie in an environment inside of the
    folder, or in another folder inside of it that was on the `path` before, as a package under development does.
    """
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] not in known and (name.startswith(_REMOTE) or _is_own(name, module, path, roots)):
            reset(
                sys.modules, name, GONE, what="sys.modules: modules of the model's own code",
                why="A file that is edited between two traces has to be read again.",
            )  # fmt: skip
    importlib.invalidate_caches()
    linecache.checkcache()


def _is_own(name: str, module: object, path: Collection[str], roots: Collection[str]) -> bool:
    text = str(getattr(module, "__file__", None) or "")
    inside = [Path(root) for root in roots if text.startswith(root)]
    if not inside or _INSTALLED & set(Path(text).relative_to(inside[0]).parts):
        return False
    file = Path(text)
    depth = name.count(".") + (file.stem == "__init__")
    found_in = file.parents[min(depth, len(file.parents) - 1)]
    return found_in in inside or str(found_in) not in path
