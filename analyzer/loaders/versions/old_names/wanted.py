"""What a model's files take from transformers and torch, read from their text: imports, attributes, stars."""

from __future__ import annotations

import ast
import builtins
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_LIBRARIES: Final = ("transformers", "torch")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One name that a file takes from a module, and the line; `at_once` if importing the file asks for it."""

    module: str
    name: str
    file: str
    line: int
    at_once: bool = True
    starred: bool = False


def wanted(root: Path, entry: str) -> Iterator[Wanted]:
    """What the entry module and those that it imports from the folder take from the libraries, each file once."""
    todo, seen = [entry], {entry}
    while todo:
        name = todo.pop()
        file = root.joinpath(*name.split(".")).with_suffix(".py")
        if not file.is_file():
            file, name = root.joinpath(*name.split("."), "__init__.py"), f"{name}.__init__"
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
            continue  # the import itself will say so
        yield from of_text(tree, file.name)
        found = {
            ".".join(target)
            for node, _ in _reached(tree)
            if isinstance(node, ast.ImportFrom) and node.level
            for target in _targets(name.split(".")[: -node.level], node)
        } - seen
        seen |= found
        todo += sorted(found)


def of_text(tree: ast.Module, file: str) -> Iterator[Wanted]:
    r"""What one file takes.

    >>> text = "import transformers as t\nfrom transformers.utils import a\nb = lambda: t.utils.c"
    >>> [(one.module, one.name, one.at_once) for one in of_text(ast.parse(text), "x.py")]
    [('transformers.utils', 'a', True), ('transformers.utils', 'c', False), ('transformers', 'utils', False)]
    """
    nodes = list(_reached(tree))
    modules = dict(_modules([node for node, _ in nodes]))
    for node, at_once in nodes:
        if isinstance(node, ast.ImportFrom) and not node.level and _is_library(node.module):
            assert node.module is not None
            names = [alias.name for alias in node.names]
            free = sorted(_free(tree)) if names == ["*"] else names
            for name in free:
                yield Wanted(node.module, name, file, node.lineno, at_once, names == ["*"])
        elif (
            isinstance(node, ast.Attribute) and (path := _path(node.value, modules)) and not node.attr.startswith("__")
        ):
            yield Wanted(path, node.attr, file, node.lineno, at_once=False)


def _reached(node: ast.AST, at_once: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, but those that a `try` guards, which have another way to go; and whether importing gets there."""
    for child in ast.iter_child_nodes(node):
        yield child, at_once
        if isinstance(child, ast.Try) and child.handlers:
            for part in (*child.handlers, *child.orelse, *child.finalbody):
                yield part, at_once
                yield from _reached(part, at_once)
        else:
            yield from _reached(child, at_once and not isinstance(child, _SCOPES))


def _targets(parts: list[str], node: ast.ImportFrom) -> list[list[str]]:
    return [[*parts, node.module]] if node.module else [[*parts, alias.name] for alias in node.names]


def _is_library(module: str | None) -> bool:
    return module is not None and module.split(".")[0] in _LIBRARIES


def _modules(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    """The names by which a file calls modules of the libraries -> the modules."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.split(".")[0]
                if top == "transformers":
                    yield (alias.asname, alias.name) if alias.asname else (top, top)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "transformers":
            for alias in node.names:
                if is_module(full := f"{node.module}.{alias.name}"):
                    yield alias.asname or alias.name, full


def _path(node: ast.expr, modules: dict[str, str]) -> str:
    """The module that an expression such as `transformers.utils` is; "" if it is none."""
    if isinstance(node, ast.Name):
        return modules.get(node.id, "")
    if isinstance(node, ast.Attribute) and (path := _path(node.value, modules)):
        full = f"{path}.{node.attr}"
        return full if is_module(full) else ""
    return ""


def is_module(name: str) -> bool:
    """Whether Python finds a module of this name."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _free(tree: ast.Module) -> set[str]:
    """Names that a file reads and binds nowhere: those that its stars have to bring."""
    bound = set(dir(builtins))
    read: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read - bound
