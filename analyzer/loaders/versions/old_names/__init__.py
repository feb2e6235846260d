"""The one room for what old remote code expects of transformers and the installed one lacks.

`members` puts back attributes of classes, `aliases` names; `history` tells of the others which release had them.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.capture.patching import patched
from analyzer.ir.findings import Note
from analyzer.loaders.stubs.inert import Inert
from analyzer.loaders.versions.old_names import aliases
from analyzer.loaders.versions.old_names.history import GoneError, Past, past
from analyzer.loaders.versions.old_names.members import restored

__all__ = ["prepare", "restored"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One name that a file takes from transformers, and the line."""

    module: str
    name: str
    file: str
    line: int


def prepare(root: Path, entry: str, stack: ExitStack, note: Note) -> None:
    """Lend the installed transformers what module `entry` of the folder, and the files that it imports, want of it.

    What can be called but has no faithful stand-in is an inert one, which fails by name if it is used. Raises
    AnalyzerError for anything else that an older transformers had. The stack takes everything back.
    """
    for wanted in _wanted(root, entry):
        module = _module(wanted, stack, note)
        if module is None or _has(module, wanted.name):
            continue
        stack.enter_context(
            patched(
                module, wanted.name, _stand_in(wanted, note),
                what="names in modules of transformers that the model's files import",
                why="The files were written for an older release that had them.", versions="all but that release",
            )
        )  # fmt: skip


def _module(wanted: Wanted, stack: ExitStack, note: Note) -> object:
    try:
        return importlib.import_module(wanted.module)
    except ModuleNotFoundError as error:
        if error.name != wanted.module:
            return None  # another package is missing: the import itself will say so
    made = aliases.module_for(wanted.module)
    before = past(wanted.module)
    if made is None and before is None:
        return None
    if made is None:
        made = type(sys)(wanted.module)
    else:
        said = aliases.MODULES[wanted.module]
        own = "the tool's own copy" if said.startswith("analyzer.") else said
        note(f"{wanted.module}, which the installed transformers lacks", own)
    stack.enter_context(
        patched(
            sys.modules, wanted.module, made, what="sys.modules: modules of transformers that the model's files import",
            why="The files were written for an older release that had them.", versions="all but that release",
        )
    )  # fmt: skip
    return made


def _stand_in(wanted: Wanted, note: Note) -> object:
    what = f"{wanted.module}.{wanted.name}"
    if found := aliases.alias(wanted.name):
        make, said = found
        note(f"{what}, which the installed transformers lacks", said)
        return make()
    before = past(wanted.module, wanted.name)
    assert before is not None  # as `_has` says
    if before.callable and not wanted.name.startswith("is_"):
        note(f"{what}, which the installed transformers lacks", "a stand-in that stops the run if it is used")
        return Inert(what, _had(before))
    raise GoneError(
        f"{wanted.file}:{wanted.line} imports {wanted.name} from {wanted.module}: {_had(before)}",
        before.release,
        hint=f"run analyze beside transformers {before.release}, or drop the import",
    )


def _had(before: Past) -> str:
    import transformers

    return f"transformers {transformers.__version__} does not have it, {before.release} had it"


def _has(module: Any, name: str) -> bool:
    """Whether a module has a name, or no release is known to have had it: then the import itself will say so."""
    try:
        if hasattr(module, name):
            return True
    except Exception:  # a lazy module whose import fails: the import itself will say so
        return True
    known = aliases.alias(name) is not None or past(module.__name__, name) is not None
    return not known or _is_module(f"{module.__name__}.{name}")


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _wanted(root: Path, entry: str) -> Iterator[Wanted]:
    """What the entry module and those that it imports from the folder take from transformers, each file once."""
    todo, seen = [entry], {entry}
    while todo:
        name = todo.pop()
        file = root.joinpath(*name.split(".")).with_suffix(".py")
        if not file.is_file():
            file, name = root.joinpath(*name.split("."), "__init__.py"), f"{name}.__init__"
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, UnicodeDecodeError):
            continue  # the import itself will say so
        for node in _imports(tree):
            if node.level:
                parts = name.split(".")[: -node.level]
                targets = [[*parts, node.module]] if node.module else [[*parts, alias.name] for alias in node.names]
                found = {".".join(target) for target in targets} - seen
                seen |= found
                todo += sorted(found)
            elif node.module and node.module.split(".")[0] == "transformers":
                for alias in node.names:
                    yield Wanted(node.module, alias.name, file.name, node.lineno)


def _imports(node: ast.AST) -> Iterator[ast.ImportFrom]:
    """Every `from x import y` below a node, but those that a `try` guards, which have another way to go."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ImportFrom):
            yield child
        elif isinstance(child, ast.Try) and child.handlers:
            for part in (*child.handlers, *child.orelse, *child.finalbody):
                yield from _imports(part)
        else:
            yield from _imports(child)
