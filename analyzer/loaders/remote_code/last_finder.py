"""Is asked for packages that nobody has found: it stands in for them where that is wanted, else says what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType
from typing import Final

from analyzer.capture.emulation.cuda import OWN, Asks
from analyzer.capture.refusals.conditions import parsed
from analyzer.loaders.files.import_guards import is_guarded
from analyzer.loaders.stubs import Finder

_LOADED: Final = frozenset({"sentence_transformers", "timm"})
"""Libraries that are the model's own code, in a folder without any, and that need others at their import."""
_OURS: Final = str(Path(__file__).parents[2])
_HERE: Final = str(Path(__file__).parent)
_BOOTSTRAP: Final = "<frozen importlib"
_STATEMENT: Final = "_find_and_load_unlocked"
"""The function of importlib that an import comes through; a question whether a package is there does not."""


class LastFinder(MetaPathFinder):
    """Looks at imports of whole packages that have failed, where the model's own code cannot do without them."""

    def __init__(self, stand_ins: Finder, asks: Asks, advice: Callable[[str], str], *, auto: bool) -> None:
        self._stand_ins, self._asks, self._advice, self._auto = stand_ins, asks, advice, auto
        self.guarded: dict[str, None] = {}
        """Packages without which the model's own code has gone on."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """A stand-in's spec with `auto`; without it raises ModuleNotFoundError with a `hint`. Else None."""
        if path is not None or fullname in sys.stdlib_module_names or not self._is_needed(fullname):
            return None
        if not self._auto:
            error = ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)
            vars(error)["hint"] = self._advice(fullname)
            raise error
        self._stand_ins.add(fullname, hidden=True)
        return self._stand_ins.find_spec(fullname)

    def _is_needed(self, name: str) -> bool:
        """Whether an import statement asks, on behalf of the model's own code, and no caller goes on without it."""
        asking, frame = False, sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(_BOOTSTRAP):
            asking = asking or frame.f_code.co_name == _STATEMENT
            frame = frame.f_back  # type: ignore[assignment]
        if not asking:
            return False
        own = False
        for caller in _callers(frame):
            library = str(caller.f_globals.get("__name__")).partition(".")[0]
            own = own or self._asks(caller) == OWN or library in _LOADED
            if is_guarded(parsed(caller.f_code.co_filename), caller.f_lineno):
                self.guarded |= {name: None} if own else {}
                return False
        return own


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of the model's code and of libraries, up to the nearest of ours that runs them."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(_OURS) and not file.startswith(_HERE):
            return
        if not file.startswith((_BOOTSTRAP, _OURS)):
            yield frame
        frame = frame.f_back
