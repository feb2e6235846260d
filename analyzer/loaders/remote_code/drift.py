"""Tells from an error whether the model's code and a library that it was written for have drifted apart."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from traceback import walk_tb
from types import FrameType, ModuleType
from typing import Final

from analyzer.capture.refusals.conditions import parsed
from analyzer.loaders.stubs.inert import StandInUsed
from analyzer.loaders.versions.old_names.history import GoneError, past
from analyzer.running.traceback_frames import read

Frames = Sequence[tuple[FrameType, int]]
OWN: Final = ""
"""Whose the model's own files are, where others are of a package."""
_PLUMBING: Final = frozenset({"torch", "analyzer", *sys.stdlib_module_names})
"""Packages that only pass on what somebody else does."""
_NO_NAME: Final = re.compile(r"cannot import name '(\w+)'")
_OTHER_ARGUMENTS: Final = re.compile(
    r"([\w.<>]+)\(\) (?:got an unexpected keyword argument|missing \d+ required|takes |got multiple values"
    r"|got some positional-only)"
)
_OBJECT: Final = re.compile(r"'(\w+)' object")
_OF_NAMES: Final = (TypeError, AttributeError, KeyError, NameError, NotImplementedError)
"""Errors inside of a library that other values of an input seldom mend."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What a library has or does otherwise than the model's code expects."""

    library: str
    """Its package."""
    what: str
    """`has no DynamicCache.seen_tokens`: a predicate of the library's release; "" where the error itself says it."""
    had: str = ""
    """The last release that had it, where that is known: `4.57`."""
    known: bool = True
    """Whether an older release is known to have had it, or must have; else only a newer one may have it."""
    sure: bool = True
    """Whether it shows in the error; else it was only raised inside of the library."""


def drift_of(error: BaseException, roots: Sequence[str], *, building: bool) -> Drift | None:
    """What the error shows of it; None for an error of the model's own, of an input, or of a missing package.

    `roots` are the folders of the model's own files, `building` says that no input was there yet.
    """
    frames = [(frame, line) for frame, line in walk_tb(error.__traceback__) if _owner(frame, roots) != "analyzer"]
    finders: tuple[Callable[[BaseException, Frames, Sequence[str]], Drift | None], ...] = (
        _gone, _import, _attribute, _call, _item,
    )  # fmt: skip
    found = next(filter(None, (find(error, frames, roots) for find in finders)), None)
    return found or _inside(error, frames, roots, building)


def guarded_package(error: BaseException) -> str:
    """The missing package without which a file does not make the name that a NameError misses; "" for none."""
    frames = list(walk_tb(error.__traceback__))
    if not isinstance(error, NameError) or not frames:
        return ""
    for node in ast.walk(parsed(frames[-1][0].f_code.co_filename)):
        if isinstance(node, (ast.If, ast.Try)) and error.name in _given(node.body):
            packages = (name.split(".")[0] for name in _packages(node))
            return next((one for one in packages if one not in sys.modules and find_spec(one) is None), "")
    return ""


def _given(body: Sequence[ast.stmt]) -> set[str]:
    """Names that statements give a value to or import."""
    nodes = [node for one in body for node in ast.walk(one)]
    aliases = [one for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) for one in node.names]
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {(one.asname or one.name).split(".")[0] for one in aliases}


def _packages(block: ast.If | ast.Try) -> Iterator[str]:
    """Modules that a block imports by an absolute name."""
    for node in (node for one in block.body for node in ast.walk(one)):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module


def _gone(error: BaseException, frames: Frames, roots: Sequence[str]) -> Drift | None:
    """A name of an older transformers that is imported and could not be lent, or was, and is used."""
    if isinstance(error, GoneError):
        return Drift("transformers", "", error.had)
    name = str(error).split(" ", 1)[0] if isinstance(error, StandInUsed) else ""
    module, _, leaf = name.rpartition(".")
    before = past(module, leaf)
    return Drift("transformers", "", before.release) if before else None


def _import(error: BaseException, frames: Frames, roots: Sequence[str]) -> Drift | None:
    """A name or module that an installed package does not have."""
    name = getattr(error, "name", None)
    if not isinstance(error, ImportError) or not isinstance(name, str) or not _is_library(name.split(".")[0], roots):
        return None
    library = name.split(".")[0]
    if isinstance(error, ModuleNotFoundError):
        before = past(name)
        return Drift(library, f"has no {name}", before.release if before else "") if name != library else None
    wanted = _NO_NAME.match(str(error))
    before = past(name, wanted.group(1)) if wanted else None
    return Drift(library, f"has no {name}.{wanted.group(1)}", before.release if before else "") if wanted else None


def _attribute(error: BaseException, frames: Frames, roots: Sequence[str]) -> Drift | None:
    """An attribute that a package, or an object of its classes, does not have, and the model's code does not make."""
    if not isinstance(error, AttributeError) or not isinstance(error.name, str):
        return None
    holder, name = error.obj, error.name
    if isinstance(holder, ModuleType):
        library = holder.__name__.split(".")[0]
        before = past(holder.__name__, name)
        known = _is_library(library, roots)
        return Drift(library, f"has no {holder.__name__}.{name}", before.release if before else "") if known else None
    kind = holder if isinstance(holder, type) else type(holder)
    classes = [(one, one.__module__.split(".")[0]) for one in kind.__mro__]
    bases = [(one, top) for one, top in classes if top not in _PLUMBING and _is_library(top, roots)]
    if not bases or (bases[0][0] is not kind and name in _made(roots)):
        return None
    pasts = (past(one.__module__, f"{one.__name__}.{name}") for one, _ in bases)
    before = next(filter(None, pasts), None)
    base, library = bases[0]
    if before is not None or base is kind:
        return Drift(library, f"has no {base.__name__}.{name}", before.release if before else "")
    return Drift(library, f"has no {base.__name__}.{name}, and neither the code nor config.json sets it", known=False)


def _call(error: BaseException, frames: Frames, roots: Sequence[str]) -> Drift | None:
    """A function of a library that was given what it does not take, or one of the model's code that a library calls."""
    said = _OTHER_ARGUMENTS.match(str(error)) if isinstance(error, TypeError) else None
    caller = next((one for one in _owners(frames, roots) if one not in _PLUMBING), None)
    if said is None or caller is None:
        return None
    name = said.group(1)
    owner = _defined_in(name, frames, roots)
    if owner is None or owner == caller:
        return None
    if caller == OWN:
        return Drift(owner, f"takes other arguments for {name}")
    return Drift(caller, f"calls {name} with arguments that it does not take") if owner == OWN else None


def _item(error: BaseException, frames: Frames, roots: Sequence[str]) -> Drift | None:
    """A table of a library without a key, or an object of a library that does not do what the code's line wants."""
    if not frames or _owner(frames[-1][0], roots) != OWN:
        return None
    frame, line = frames[-1]
    if isinstance(error, KeyError) and error.args:
        for name, library in _imported(frame, roots):
            table = frame.f_globals.get(name)
            if name in read(frame, line) and isinstance(table, dict) and error.args[0] not in table:
                return Drift(library, f"has no {error.args[0]!r} in {name}")
    if isinstance(error, TypeError):
        named = _OBJECT.findall(str(error))
        for value in _values(frame, line):
            kind, library = type(value), type(value).__module__.split(".")[0]
            if kind.__name__ in named and library not in _PLUMBING and _is_library(library, roots):
                return Drift(library, f"has another {kind.__name__}")
    return None


def _inside(error: BaseException, frames: Frames, roots: Sequence[str], building: bool) -> Drift | None:
    """An error that was raised in a library's own code, which the model's called."""
    owners = [one for one in _owners(frames, roots) if one == OWN or one not in _PLUMBING]
    if not owners or owners[0] == OWN or OWN not in owners or not (building or isinstance(error, _OF_NAMES)):
        return None
    return Drift(owners[0], "raises it in its own code", sure=False) if _is_library(owners[0], roots) else None


def _owners(frames: Frames, roots: Sequence[str]) -> list[str]:
    """Whose the frames are, the innermost first."""
    return [_owner(frame, roots) for frame, _ in reversed(frames)]


def _owner(frame: FrameType, roots: Sequence[str]) -> str:
    """OWN, or the package that a frame's code is of."""
    if frame.f_code.co_filename.startswith(tuple(roots)):
        return OWN
    return str(frame.f_globals.get("__name__", "builtins")).split(".")[0]


def _is_library(package: str, roots: Sequence[str]) -> bool:
    """Whether a package is installed, and none of Python's, of the model's folder or a stand-in."""
    module = sys.modules.get(package)
    if module is None or package in sys.stdlib_module_names or package == "analyzer":
        return False
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and not file.startswith(tuple(roots))


def _modules(roots: Sequence[str], *, own: bool) -> Iterator[ModuleType]:
    """Modules that were imported from the model's folder, or of libraries."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) if isinstance(module, ModuleType) else None
        is_own = isinstance(file, str) and file.startswith(tuple(roots))
        if isinstance(file, str) and is_own == own and (own or name.split(".")[0] not in _PLUMBING):
            yield module


def _defined_in(name: str, frames: Frames, roots: Sequence[str]) -> str | None:
    """Whose a function of this qualified name is, of what the model's files import; None where no module has it."""
    libraries = {"transformers", *(library for frame, _ in frames for _, library in _imported(frame, roots))}
    for own in (True, False):
        for module in _modules(roots, own=own):
            if not own and module.__name__.split(".")[0] not in libraries:
                continue
            value: object = module
            for part in name.split("."):
                value = vars(value).get(part) if isinstance(value, (ModuleType, type)) else None
            made_there = getattr(inspect.unwrap(value), "__module__", None) if callable(value) else None
            if made_there == module.__name__:
                return OWN if own else module.__name__.split(".")[0]
    return None


def _made(roots: Sequence[str]) -> set[str]:
    """Attributes that the model's own code defines or sets anywhere."""
    found = set()
    for module in _modules(roots, own=True):
        for node in ast.walk(parsed(str(module.__file__))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
    return found


def _imported(frame: FrameType, roots: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names that the file of a frame imports from a library, with the library."""
    for node in ast.walk(parsed(frame.f_code.co_filename)):
        library = str(node.module).split(".")[0] if isinstance(node, ast.ImportFrom) and not node.level else ""
        if isinstance(node, ast.ImportFrom) and _is_library(library, roots):
            yield from ((alias.asname or alias.name, library) for alias in node.names)


def _values(frame: FrameType, line: int) -> Iterator[object]:
    """Values of the variables that a line reads, and of their attributes as they are stored."""
    for name in dict.fromkeys(read(frame, line)):
        value = frame.f_locals.get(name, frame.f_globals.get(name))
        yield value
        yield from list(getattr(value, "__dict__", {}).values()) if not isinstance(value, (type, ModuleType)) else ()
