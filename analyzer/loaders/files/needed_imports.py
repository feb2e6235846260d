"""Reads from the files of a model's folder which packages they need: at their import, to be built and to be run.

Followed are the files that an entry imports, and of their functions those whose name is used by what is run: a method
that nothing on the way to forward names, such as `chat`, needs nothing. Guarded imports need nothing either.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from analyzer.errors import AnalyzerError
from analyzer.foreign import read_small
from analyzer.loaders.files.import_guards import asks, goes_on, suppresses
from analyzer.loaders.files.own_files import own_module, source_of

_CALLED: Final = frozenset({
    "forward", "build", "inputs", "run", "_init_weights", "init_weights", "post_init", "tie_weights",
    "get_input_embeddings", "get_output_embeddings", "from_pretrained", "from_dict", "to_dict",
})  # fmt: skip
"""Functions and methods that are called from outside of the folder, beside those with two underscores."""
_FILES: Final = 500
"""Files that are read, at most."""
_LARGEST: Final = 4 << 20
"""Bytes of a file that is read; the longest of transformers has 300,000."""
_KERNELS: Final = frozenset({
    "apex", "bitsandbytes", "causal_conv1d", "deepspeed", "fla", "flash_attn", "flash_attn_interface", "mamba_ssm",
    "transformer_engine", "triton", "xformers",
})  # fmt: skip
"""Packages for a GPU, one of several ways to compute: a function that imports one is called where a config says so."""
Where = Literal["always", "under an if", "after another way"]
"""Where an import stands; after another way has failed only files of the folder are looked at."""
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(slots=True)
class _Scope:
    """A function, a class's own part, or the top of a file: what it imports, names and holds."""

    name: str
    owner: str = ""
    """The class that it is a method of."""
    imports: list[tuple[ast.Import | ast.ImportFrom, Where]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the folder, and the packages that it guards somewhere."""

    module: str
    place: Path
    scopes: tuple[_Scope, ...]
    guarded: frozenset[str]


def needed(root: Path, entries: Sequence[str], is_missing: Callable[[str], bool]) -> list[str]:
    """The missing packages that module entries such as `modeling_x.XModel` of folder `root` need, in their order."""
    todo = list(dict.fromkeys(entry.rpartition(".")[0] or entry for entry in entries))
    used = {entry.rpartition(".")[2] for entry in entries} | _CALLED
    files: dict[str, _File] = {}
    found: dict[str, None] = {}
    before: tuple[int, ...] = ()
    while before != (now := (len(files), len(used), len(found), len(todo))):
        before = now
        for module in [one for one in todo if one not in files][: _FILES - len(files)]:
            files[module] = _read(root, module, is_missing)
        for file in list(files.values()):
            for scope in file.scopes:
                if _is_used(scope, used):
                    used |= scope.names
                    todo += _follow(root, file, scope, found, is_missing)
        todo = list(dict.fromkeys(todo))
    return list(found)


def _is_used(scope: _Scope, used: set[str]) -> bool:
    """Whether something runs a scope: the top of a file always, a class by its name, a method of one that is used."""
    if not scope.name:
        return True
    if scope.owner and scope.owner not in used:
        return False
    return scope.name in used or (scope.name.startswith("__") and scope.name.endswith("__"))


def _follow(
    root: Path, file: _File, scope: _Scope, found: dict[str, None], is_missing: Callable[[str], bool]
) -> Iterator[str]:
    """The modules of the folder that a scope imports; packages that are missing are put into `found`."""
    for node, where in scope.imports:
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from _relative(file, node)
            continue
        optional = _KERNELS | file.guarded if scope.name or where == "under an if" else frozenset()
        for name, wanted in _absolute(node):
            own, top = own_module(root, file.place.parent, name, wanted), name.partition(".")[0]
            if own is not None:
                yield from (own, *(f"{own}.{one}" for one in wanted))
            elif where != "after another way" and top not in optional and is_missing(top):
                found[top] = None


def _absolute(node: ast.Import | ast.ImportFrom) -> list[tuple[str, tuple[str, ...]]]:
    """Each module that a statement imports by its full name, and what it takes from it."""
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "", tuple(alias.name for alias in node.names))]
    return [(alias.name, ()) for alias in node.names]


def _relative(file: _File, node: ast.ImportFrom) -> Iterator[str]:
    """What a relative import may mean: a module, and modules in it."""
    package = file.module if file.place.name == "__init__.py" else file.module.rpartition(".")[0]
    above = package.split(".") if package else []
    base = [*above[: max(len(above) - node.level + 1, 0)], *filter(None, [node.module])]
    if base:
        yield ".".join(base)
    yield from (".".join([*base, alias.name]) for alias in node.names)


def _read(root: Path, module: str, is_missing: Callable[[str], bool]) -> _File:
    place = source_of(root, module)
    if place is None:
        return _File(module, root / "_", (), frozenset())
    try:
        tree = ast.parse(read_small(place, _LARGEST).decode("utf-8", "replace"))
        reader = _Reader(is_missing)
        reader.body(tree.body, reader.top, "always")
    except (SyntaxError, ValueError, RecursionError, AnalyzerError):
        return _File(module, place, (), frozenset())
    return _File(module, place, tuple(reader.scopes), frozenset(reader.guarded))


class _Reader:
    """Reads the statements of a file into scopes."""

    def __init__(self, is_missing: Callable[[str], bool]) -> None:
        self._is_missing = is_missing
        self.top = _Scope("")
        self.scopes = [self.top]
        self.guarded: set[str] = set()

    def body(self, statements: Sequence[ast.stmt], scope: _Scope, where: Where) -> None:
        """Read statements that are run with their scope."""
        for node in statements:
            self._statement(node, scope, where)

    def _statement(self, node: ast.stmt, scope: _Scope, where: Where) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            scope.imports.append((node, where))
        elif isinstance(node, _FUNCTIONS):
            self._function(node, scope)
        elif isinstance(node, ast.ClassDef):
            self._class(node, scope, where)
        elif isinstance(node, ast.Try):
            self._try(node, scope, where)
        elif isinstance(node, (ast.With, ast.AsyncWith)) and suppresses(node):
            self.guarded |= _tops(node.body)
        elif isinstance(node, ast.If):
            self._if(node, scope, where)
        else:
            self._other(node, scope, where)

    def _if(self, node: ast.If, scope: _Scope, where: Where) -> None:
        """An `if` with each `elif`, which is one more `if` in the last's `else`."""
        one: ast.If | None = node
        while one is not None:
            scope.names |= _names(one.test)
            if asks(one.test):
                self.guarded |= _tops(one.body)
            else:
                self.body(one.body, scope, _under(where))
            following = one.orelse[0] if len(one.orelse) == 1 else None
            last, one = one, following if isinstance(following, ast.If) else None
        self.body(last.orelse, scope, _under(where))

    def _other(self, node: ast.AST, scope: _Scope, where: Where) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt):
                self._statement(child, scope, where)
            elif isinstance(child, (ast.match_case, ast.ExceptHandler)):
                self._other(child, scope, where)
            elif child is not getattr(node, "annotation", None):
                scope.names |= _names(child)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: _Scope) -> None:
        scope.names |= {name for one in (*node.decorator_list, *_defaults(node.args)) for name in _names(one)}
        made = _Scope(node.name, scope.name if scope.owner == _CLASS else "")
        self.scopes.append(made)
        self.body(node.body, made, "always")

    def _class(self, node: ast.ClassDef, scope: _Scope, where: Where) -> None:
        for one in node.decorator_list:
            scope.names |= _names(one)
        held = _Scope(node.name, _CLASS)
        self.body(node.body, held, where)
        scope.imports += held.imports  # a class's own part is run where it stands
        scope.names |= held.names
        self.scopes.append(_Scope(node.name, names={name for base in node.bases for name in _names(base)}))

    def _try(self, node: ast.Try, scope: _Scope, where: Where) -> None:
        if not goes_on(node):
            self.body(node.body, scope, where)
            self.body(node.orelse, scope, where)
        else:
            tried, relative = _tops(node.body), _is_relative(node.body)
            lacks = any(map(self._is_missing, tried))
            self.guarded |= tried
            self.body(() if lacks or relative else (*node.body, *node.orelse), scope, where)
            other: Where = where if lacks else "after another way"
            for handler in node.handlers if lacks or relative else ():
                self.body(handler.body, scope, other)
        self.body(node.finalbody, scope, where)


def _under(where: Where) -> Where:
    return "under an if" if where == "always" else where


def _is_relative(statements: Sequence[ast.stmt]) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.level for node in statements)


def _defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    yield from arguments.defaults
    yield from (one for one in arguments.kw_defaults if one is not None)


_CLASS: Final = "class"
"""The owner of a class's own part while it is read."""


def _tops(statements: Sequence[ast.stmt]) -> set[str]:
    """Packages that statements import, not counting those in functions."""
    found: set[str] = set()
    waiting: list[ast.AST] = list(statements)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif not isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.expr)):
            waiting += ast.iter_child_nodes(node)
    return found


def _names(node: ast.AST) -> set[str]:
    """Every name and attribute in an expression, and what `getattr` is given as a text."""
    found: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            found.add(child.id)
        elif isinstance(child, ast.Attribute):
            found.add(child.attr)
        elif isinstance(child, ast.Call) and isinstance(child.func, ast.Name) and child.func.id == "getattr":
            found |= {arg.value for arg in child.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return found
