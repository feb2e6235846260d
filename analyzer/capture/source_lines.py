"""Finds, from the Python stack, the source line that a person wrote and the module that was running."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

import torch
from torch import nn

from analyzer.foreign.hub_cache import cached_name
from analyzer.ir.graph import Place

_TORCH: Final = str(Path(torch.__file__).parent) + os.sep
_OURS: Final = str(Path(__file__).parents[1]) + os.sep
_INSTALLED: Final = ("site-packages", "dist-packages")
_LIBRARIES: Final = ("torch", "transformers", "diffusers", "peft", "timm", "accelerate", "bitsandbytes")
"""What may lie in a folder of its own, as `pip install --target` fills one."""


_TOLD: Final[list[tuple[Place, str]]] = []


@contextmanager
def told(place: Place, module: str) -> Iterator[None]:
    """While this lasts, what runs comes from this line and this module, whatever the stack says."""
    _TOLD.append((place, module))
    try:
        yield
    finally:
        _TOLD.pop()


_KERNEL: Final = ("backend_impl", str(Path("torch/_library/custom_ops.py")))
"""The frame of torch that runs a custom kernel: its function, and the end of its file."""


def shared(filename: str, roots: Iterable[str], separator: str = os.sep) -> str:
    r"""A file name below the first of the folders that it lies in, with slashes: reports are read on other systems.

    >>> shared("C:\\m\\layers\\norm.py", ("", "C:\\m\\"), "\\")
    'layers/norm.py'
    """
    root = next((root for root in roots if root and filename.startswith(root)), "")
    return filename[len(root) :].replace(separator, "/")


def installed_in() -> tuple[str, ...]:
    """The folders that packages are installed in, innermost first: a layered environment has several."""
    loaded = (getattr(sys.modules.get(name), "__file__", None) for name in _LIBRARIES)
    folders = {str(Path(file).parents[1]) for file in loaded if file}
    folders |= {entry.rstrip(os.sep) for entry in sys.path if Path(entry).name in _INSTALLED}
    return tuple(folder + os.sep for folder in sorted(folders, key=len, reverse=True))


class SourceLines:
    """Reads the stack of a running model; file names are shown relative to the model's folder."""

    def __init__(self, module: nn.Module, root: str) -> None:
        self._paths = {id(m): name for name, m in module.named_modules()}
        self._root = str(Path(root).absolute()) + os.sep if root else ""
        self._foreign: dict[CodeType, bool] = {}
        self._method: dict[CodeType, bool] = {}
        self._shown: dict[str, str] = {}
        self.stops: set[CodeType] = set()
        """Code that no call below it belongs to: autograd's engine."""
        self.until: CodeType | None = None
        """The code that runs the model: what called it is none of the model's."""

    def here(self) -> tuple[Place, str]:
        """The nearest source line outside torch and this package, and the path of the nearest running module."""
        if _TOLD:
            return Place(self.show(_TOLD[-1][0].file), _TOLD[-1][0].line), _TOLD[-1][1]
        frame: FrameType | None = sys._getframe(1)
        place, module = None, None
        while frame is not None and (place is None or module is None):
            code = frame.f_code
            if code in self.stops or code is self.until:
                break
            if place is None and not self._is_foreign(code):
                place = Place(self.show(code.co_filename), frame.f_lineno)
            if module is None and self._is_method(code):
                module = self._paths.get(id(frame.f_locals.get("self")))
            frame = frame.f_back
        return place or Place(), module or ""

    def entered_by(self) -> str:
        """What of the model was called first on the way here: `method`, `part`, `part.method`; "" where nothing was."""
        found, frame = "", sys._getframe(1)
        while frame is not None and frame.f_code is not self.until:
            path = self._paths.get(id(frame.f_locals.get("self"))) if self._is_method(frame.f_code) else None
            if path is not None:
                name = "" if self._is_foreign(frame.f_code) else frame.f_code.co_name
                found = ".".join(filter(None, (path, name if name != "forward" else "")))
            frame = frame.f_back  # type: ignore[assignment]
        return found

    def callers(self) -> tuple[Place, ...]:
        """The lines of the model's folder that are running, nearest first; none where there is no folder."""
        found, frame = [], sys._getframe(1) if self._root else None
        while frame is not None and frame.f_code not in self.stops:
            if frame.f_code.co_filename.startswith(self._root):
                found.append(Place(self.show(frame.f_code.co_filename), frame.f_lineno))
            frame = frame.f_back
        return tuple(found)

    def callers_of(self, error: BaseException) -> tuple[Place, ...]:
        """The lines of the model's folder that an error came through, nearest first; none where there is no folder."""
        found, trace = [], error.__traceback__ if self._root else None
        while trace is not None:
            name = trace.tb_frame.f_code.co_filename
            if name.startswith(self._root) and not self._is_foreign(trace.tb_frame.f_code):
                found.append(Place(self.show(name), trace.tb_lineno))
            trace = trace.tb_next
        return tuple(reversed(found))

    def of_error(self, error: BaseException) -> tuple[Place, str]:
        """The innermost line of a traceback outside torch and this package, and the path of the innermost module.

        What a kernel does that is written in Python, with `torch.library.custom_op`, is its own affair.
        """
        place, module, trace = Place(), "", error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if code.co_name == _KERNEL[0] and code.co_filename.endswith(_KERNEL[1]):
                break
            if not self._is_foreign(code):
                place = Place(self.show(code.co_filename), trace.tb_lineno)
            if self._is_method(code):
                module = self._paths.get(id(trace.tb_frame.f_locals.get("self")), module)
            trace = trace.tb_next
        return place, module

    def raised_in(self, error: BaseException) -> list[tuple[FrameType, int]]:
        """The frames that a person wrote, each with its line: of the error, outward to the nearest module's method."""
        found: list[tuple[FrameType, int]] = []
        trace = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            if not self._is_foreign(code):
                own = self._is_method(code) and id(trace.tb_frame.f_locals.get("self")) in self._paths
                found = [*([] if own else found), (trace.tb_frame, trace.tb_lineno)]
            trace = trace.tb_next
        return found[::-1]

    def show(self, filename: str) -> str:
        """A file name as a reviewer knows it: relative to the model's folder, to packages, or by its hub id."""
        shown = self._shown.get(filename)
        if shown is None:
            below = shared(filename, (self._root, *installed_in()))
            shown = self._shown[filename] = (Path(below).is_absolute() and cached_name(filename)) or below
        return shown

    def _is_foreign(self, code: CodeType) -> bool:
        known = self._foreign.get(code)
        if known is None:
            name = code.co_filename
            known = self._foreign[code] = name.startswith((_TORCH, _OURS, "<frozen")) or name == "<string>"
        return known

    def _is_method(self, code: CodeType) -> bool:
        known = self._method.get(code)
        if known is None:
            known = code.co_argcount > 0 and code.co_varnames[0] == "self"
            self._method[code] = known
        return known
