"""Whose the code is that an error came through: the model's own, or a library's."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from traceback import walk_tb
from types import FrameType, ModuleType
from typing import Final

from analyzer.capture.refusals.conditions import parsed
from analyzer.running.traceback_frames import read

OWN: Final = ""
"""Whose the model's own files are, where others are of a package."""
PLUMBING: Final = frozenset({"torch", "analyzer", *sys.stdlib_module_names})
"""Packages that only pass on what somebody else does."""

_LOOKS_UP: Final = ("__getattr__", "__getattribute__")


@dataclass(frozen=True, slots=True)
class Failing:
    """An error in a model's code or in what it calls."""

    error: BaseException
    roots: tuple[str, ...]
    """The folders of the model's own files."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What config.json says."""
    building: bool = False
    """Whether no input was there yet."""

    def frames(self) -> list[tuple[FrameType, int]]:
        """The frames that it came through, each with its line, the innermost last."""
        return list(walk_tb(self.error.__traceback__))

    def owners(self) -> list[str]:
        """Whose the frames are that are no plumbing, the innermost first; to look an attribute up is plumbing too."""
        frames = (frame for frame, _ in reversed(self.frames()) if frame.f_code.co_name not in _LOOKS_UP)
        return [one for one in map(self.owner, frames) if one not in PLUMBING]

    def owner(self, frame: FrameType) -> str:
        """OWN, or the package that a frame's code is of."""
        if frame.f_code.co_filename.startswith(self.roots):
            return OWN
        return str(frame.f_globals.get("__name__", "builtins")).split(".")[0]

    def own_line(self) -> tuple[FrameType, int] | None:
        """The innermost frame with its line, if it is one of the model's own code."""
        last = self.frames()[-1:]
        return last[0] if last and self.owner(last[0][0]) == OWN else None

    def is_library(self, package: str) -> bool:
        """Whether a package is installed, and none of Python's, of the model's folder or a stand-in."""
        module = sys.modules.get(package)
        if module is None or package in sys.stdlib_module_names or package == "analyzer":
            return False
        file = getattr(module, "__file__", None)
        return isinstance(file, str) and not file.startswith(self.roots)

    def bases(self, kind: type) -> list[tuple[type, str]]:
        """The classes of libraries that a class is or derives from, the nearest first, each with its package."""
        tops = [(one, one.__module__.split(".")[0]) for one in kind.__mro__]
        return [(one, top) for one, top in tops if top not in PLUMBING and self.is_library(top)]

    def imported(self, frame: FrameType) -> Iterator[tuple[str, str]]:
        """Names that the file of a frame imports from a library, with the library."""
        for node in ast.walk(parsed(frame.f_code.co_filename)):
            if isinstance(node, ast.ImportFrom) and not node.level:
                library = str(node.module).split(".")[0]
                if self.is_library(library):
                    yield from ((alias.asname or alias.name, library) for alias in node.names)

    def made(self) -> set[str]:
        """Attributes that the model's own code defines or sets anywhere."""
        found: set[str] = set()
        for module in self._modules(own=True):
            for node in ast.walk(parsed(str(module.__file__))):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found.add(node.attr)
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found.add(node.id)
                elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    found.add(node.name)
        return found

    def definer(self, name: str) -> str | None:
        """Whose a function of this qualified name is, of what the model's files import; None where no module has it."""
        libraries = {"transformers", *(library for frame, _ in self.frames() for _, library in self.imported(frame))}
        for own in (True, False):
            for module in self._modules(own=own):
                top = module.__name__.split(".")[0]
                if (own or top in libraries) and _made_in(module, name):
                    return OWN if own else top
        return None

    def _modules(self, *, own: bool) -> Iterator[ModuleType]:
        """Modules that were imported from the model's folder, or of libraries."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) if isinstance(module, ModuleType) else None
            wanted = own or name.split(".")[0] not in PLUMBING
            if wanted and isinstance(file, str) and file.startswith(self.roots) == own:
                yield module


def _made_in(module: ModuleType, name: str) -> bool:
    """Whether a module itself defines a function of this qualified name."""
    value: object = module
    for part in name.split("."):
        value = vars(value).get(part) if isinstance(value, (ModuleType, type)) else None
    return callable(value) and getattr(inspect.unwrap(value), "__module__", None) == module.__name__


def values_of(frame: FrameType, line: int) -> Iterator[object]:
    """Values of the variables that a line reads, and of their attributes as they are stored, two steps far."""
    for name in dict.fromkeys(read(frame, line)):
        value = frame.f_locals.get(name, frame.f_globals.get(name))
        yield value
        for one in _stored(value):
            yield one
            yield from _stored(one)


def _stored(value: object) -> list[object]:
    held = getattr(value, "__dict__", None)
    return list(held.values()) if isinstance(held, dict) and not isinstance(value, (type, ModuleType)) else []
