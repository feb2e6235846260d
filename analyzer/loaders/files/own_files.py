"""Finds the file of a model's folder that an import in one of its files means, as the author's own Python would."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

NEVER: Final = frozenset({"analyzer", "numpy", "torch", "transformers", *sys.stdlib_module_names})
"""Packages that no file of a model's folder stands for, whatever it is called."""
_ENTRIES: Final = 1000
"""Entries of a folder that are looked at for Python files."""


def own_module(root: Path, here: Path, name: str, wanted: Sequence[str] = ()) -> str | None:
    """What an absolute import of `name` means in the folder `root`, as a dotted path below it; else None.

    `here` is the folder of the file that imports, `wanted` are the names that it takes from the module. Looked through
    are `root` and `here`, as for a script that lies there, and `root` under its own name. Of a name that an installed
    package has as well, the folder's file is meant where it has what is wanted.
    """
    top, _, rest = name.partition(".")
    if top in NEVER:
        return None
    for folder in dict.fromkeys((root, here)):
        if folder.is_relative_to(root) and is_module(folder, name) and _is_meant(folder, name, wanted):
            return ".".join((*folder.relative_to(root).parts, name))
    for folder in dict.fromkeys((root, here)) if rest and not is_installed(top) else ():
        if folder.is_relative_to(root) and is_module(folder, top):
            return ".".join((*folder.relative_to(root).parts, name))  # a file that is missing in the folder
    named_so = top == root.resolve().name and bool(rest)
    return rest if named_so and is_module(root, rest) and not is_installed(top) else None


def is_module(folder: Path, name: str) -> bool:
    """Whether a folder holds a module or package of Python of this dotted name."""
    file = folder.joinpath(*name.split("."))
    return file.with_suffix(".py").is_file() or (file / "__init__.py").is_file() or _holds_python(file)


def source_of(folder: Path, name: str) -> Path | None:
    """The file with the source of a module or package in a folder; None where it has none."""
    file = folder.joinpath(*name.split("."))
    places = (file.with_suffix(".py"), file / "__init__.py")
    return next((place for place in places if place.is_file()), None)


def is_installed(top: str) -> bool:
    """Whether Python finds a package of this name, or has imported it."""
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError, AttributeError):  # of a module without a spec: it is there
        return top in sys.modules


def _is_meant(folder: Path, name: str, wanted: Sequence[str]) -> bool:
    """Whether the folder's module goes before an installed one of that name."""
    file = source_of(folder, name)
    if not is_installed(name.partition(".")[0]):
        return True
    if file is None:
        return False  # a folder without __init__.py comes after every package
    defined = _defined(file.read_text(encoding="utf-8", errors="replace"))
    below = folder.joinpath(*name.split("."))
    return all(one in defined or "*" in (one, *defined) or is_module(below, one) for one in wanted)


@lru_cache(maxsize=64)
def _defined(text: str) -> frozenset[str]:
    """Names that a module gives a value at its top level; `*` where it takes all of another one, or cannot be read."""
    try:
        return frozenset(_bound(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError):
        return frozenset({"*"})


def _bound(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield "*" if child.name == "__getattr__" else child.name
        elif isinstance(child, ast.alias):
            yield (child.asname or child.name).partition(".")[0]
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        else:
            yield from _bound(child)


def _holds_python(folder: Path) -> bool:
    """Whether a folder has Python files, so that it is a package even without an `__init__.py`."""
    try:
        return folder.is_dir() and any(
            entry.suffix == ".py" for _, entry in zip(range(_ENTRIES), folder.iterdir(), strict=False)
        )
    except OSError:
        return False
