"""Reads from source under which conditions a line fails, and which parts of them tell a dtype; it runs nothing."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_READS: Final = frozenset({"dtype", "is_floating_point", "is_complex", "is_signed", "element_size", "itemsize"})
"""Attributes, methods and functions that tell a tensor's dtype."""
_LIMITS: Final = frozenset({"iinfo", "finfo"})
"""Functions of torch that take dtypes of one kind alone."""
_NUMBERS: Final = ("Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool")
_CLASSES: Final = frozenset(f"{number}Tensor" for number in _NUMBERS)
"""Classes of torch that stand for a dtype, as `isinstance` asks for them."""
_FORMS: Final = frozenset({
    "shape", "size", "ndim", "dim", "numel", "max", "min", "sum", "any", "all", "item", "isnan", "isfinite", "equal",
})  # fmt: skip
"""What reads a tensor's form or values: a test of these stands for itself, whatever it stands under."""
_CASTS: Final = frozenset({"to", "type", "astype", "new_tensor", "new_zeros", "new_ones", "new_full", "type_as"})
"""Methods that take a dtype and give a tensor, whose values then decide."""
_ENDS: Final = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


@dataclass(frozen=True, slots=True)
class Failing:
    """Why the statement at a line fails, as far as its source tells."""

    statement: ast.stmt
    scope: ast.AST
    """The function around it."""
    tests: tuple[ast.expr, ...] = ()
    """What decides, the nearest first."""
    words: tuple[ast.expr, ...] = ()
    """What the error is made of: it may name a dtype beside the reason."""
    handles: bool = False
    """Whether it is raised for another error that was caught."""


def failing(file: str, line: int, *, key: bool) -> Failing | None:
    """Why the statement at a line of a file fails; with `key`, because a key is missing in a table."""
    path = list(_path(parsed(file), line))
    if not path or not isinstance(path[-1], ast.stmt):
        return None
    last = path[-1]
    scope = next(node for node in reversed(path) if isinstance(node, _SCOPES))
    if isinstance(last, ast.Assert):
        return Failing(last, scope, (last.test, *(() if is_of_form(last.test) else _around(path)[0])))
    if isinstance(last, ast.Raise):
        tests, handles = _around(path)
        tests = tests if tests or handles else tuple(_passed(path))
        return Failing(last, scope, tests, () if last.exc is None else (last.exc,), handles)
    return Failing(last, scope, tuple(_asked(last, key)))


def _asked(statement: ast.stmt, key: bool) -> Iterator[ast.expr]:
    """What a statement that raises nothing itself asks of a table, if a key is missing, and of `iinfo` or `finfo`."""
    for node in _heads(statement):
        if isinstance(node, ast.Call) and _name(node.func) in _LIMITS:
            yield from node.args
        elif key and isinstance(node, ast.Subscript):
            yield node.slice


def reads(test: ast.expr) -> Iterator[ast.expr]:
    """What an expression tells the dtype of; one that makes a tensor of this dtype tells of its values."""
    if isinstance(test, ast.Attribute) and test.attr in _READS:
        yield test.value
    elif isinstance(test, ast.Name) and "dtype" in test.id:
        yield test
    if isinstance(test, ast.Call):
        yield from _called(test)
        if _name(test.func) in _CASTS and test.args:
            return
    for child in ast.iter_child_nodes(test):
        if not isinstance(child, ast.keyword) or child.arg != "dtype":
            yield from reads(child.value if isinstance(child, ast.keyword) else child)  # type: ignore[arg-type]


def gave(scope: ast.AST, name: str, before: int) -> Iterator[ast.expr]:
    """What the code of a function that stands before a line gave a name."""
    for node in ast.walk(scope):
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.lineno <= before and node.value:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for one, value in _pairs(target, node.value):
                    if isinstance(one, ast.Name) and one.id == name:
                        yield value


def tells(value: ast.expr) -> bool:
    """Whether a value is a dtype or what was made of dtypes alone, and no tensor."""
    if isinstance(value, ast.Call):
        return any(True for _ in _called(value)) or (_name(value.func) in _WORDS and any(map(tells, value.args)))
    if isinstance(value, ast.Attribute):
        return value.attr in _READS or tells(value.value)
    parts = [child for child in ast.iter_child_nodes(value) if isinstance(child, ast.expr)]
    return isinstance(value, _MADE) and any(map(tells, parts))


def returns(file: str, line: int, name: str) -> list[ast.expr]:
    """What the function of this name that begins at a line gives back."""
    named = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(parsed(file)):
        if isinstance(node, named) and node.name == name and node.lineno >= line >= _first(node):
            return [n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value]
    return []


def given(statement: ast.stmt, function: str, takes: tuple[str, ...], wanted: Iterable[str]) -> list[ast.expr]:
    """What a statement's call of a function passes for some of its parameters; nothing where that is not plain."""
    found = [n for n in _heads(statement) if isinstance(n, ast.Call) and _name(n.func) == function]
    if len(found) != 1 or any(isinstance(arg, ast.Starred) for arg in found[0].args):
        return []
    bound = isinstance(found[0].func, ast.Attribute) and takes[:1] in (("self",), ("cls",))
    passed = dict(zip(takes[1:] if bound else takes, found[0].args, strict=False))
    passed |= {word.arg: word.value for word in found[0].keywords if word.arg}
    return [passed[name] for name in wanted if name in passed]


def around(file: str, line: int) -> list[ast.AST]:
    """The statements that a line of a file stands in, within its function, the innermost first.

    Of a `try` or a `with` only what it watches over counts.
    """
    found: list[ast.AST] = []
    path = list(_path(parsed(file), line))
    for node, child in zip(path[-2::-1], path[:0:-1], strict=True):
        if isinstance(node, _SCOPES):
            break
        if not isinstance(node, ast.Try) or child in node.body:
            found.append(node)
    return found


def is_of_form(test: ast.expr) -> bool:
    """Whether a test reads a tensor's form or values, and no dtype."""
    nodes = list(ast.walk(test))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    form = not attributes.isdisjoint(_FORMS) or any(isinstance(n, ast.Name) and n.id == "len" for n in nodes)
    return form and not any(True for _ in reads(test))


def names(test: ast.AST) -> list[str]:
    """The names that an expression reads."""
    return [n.id for n in ast.walk(test) if isinstance(n, ast.Name)]


def _called(call: ast.Call) -> Iterator[ast.expr]:
    """What a call is asked about, where it tells a dtype: `torch.is_complex(x)`, `x.type()`, `isinstance(x, ...)`."""
    name = _name(call.func)
    if name in _READS:
        yield from call.args[:1] or ([call.func.value] if isinstance(call.func, ast.Attribute) else [])
    elif name == "type" and isinstance(call.func, ast.Attribute) and not call.args:
        yield call.func.value
    elif name == "isinstance" and any(_name(n) in _CLASSES for n in ast.walk(call.args[-1])):
        yield call.args[0]


def _around(path: list[ast.AST]) -> tuple[tuple[ast.expr, ...], bool]:
    """The tests that a statement stands under, and whether it answers a caught error."""
    tests: list[ast.expr] = []
    for node in reversed(path[:-1]):
        if isinstance(node, _SCOPES):
            break
        if isinstance(node, ast.ExceptHandler):
            return tuple(tests), not tests
        if isinstance(node, (ast.If, ast.While, ast.Match)):
            tests.append(node.subject if isinstance(node, ast.Match) else node.test)
            if is_of_form(tests[-1]):
                break
    return tuple(tests), False


def _passed(path: list[ast.AST]) -> Iterator[ast.expr]:
    """Tests of the `if`s before a `raise` of the same block that would have left it."""
    block: list[ast.stmt] = next(b for b in _blocks(path[-2]) if path[-1] in b)
    for one in block[: block.index(path[-1])]:  # type: ignore[arg-type]
        if isinstance(one, ast.If) and isinstance(one.body[-1], _ENDS):
            yield one.test


def _path(node: ast.AST, line: int) -> Iterator[ast.AST]:
    """The nodes from the file down to the statement at a line."""
    yield node
    for block in _blocks(node):
        for child in block:
            if _first(child) <= line <= _last(child):
                yield from _path(child, line)
                return


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for field in ("body", "orelse", "handlers", "finalbody", "cases"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield block


def _heads(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes of a statement without the statements inside it."""
    inside = {id(child) for block in _blocks(statement) for child in block}
    waiting: list[ast.AST] = [statement]
    for node in waiting:
        yield node
        waiting += [child for child in ast.iter_child_nodes(node) if id(child) not in inside]


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Each part of what is assigned to, with the part of the value that it gets; none where that is not plain."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        yield target, value
    elif isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
        yield from zip(target.elts, value.elts, strict=True)


def _first(node: ast.AST) -> int:
    """The line that a node begins at, its decorators included."""
    nodes = [node.pattern] if isinstance(node, ast.match_case) else [node, *getattr(node, "decorator_list", ())]
    return min(getattr(one, "lineno", 0) for one in nodes)


def _last(node: ast.AST) -> int:
    return getattr(node.body[-1] if isinstance(node, ast.match_case) else node, "end_lineno", None) or 0


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


@lru_cache(maxsize=32)
def _parsed(text: str) -> ast.AST:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def parsed(file: str) -> ast.AST:
    """The source of a file as a tree; an empty one where it cannot be read."""
    return _parsed("".join(linecache.getlines(file)))


_WORDS: Final = frozenset({"str", "repr", "any", "all", "bool", "not", "finfo", "iinfo", "set", "tuple", "list", "len"})
"""Functions of dtypes that give no tensor."""
_MADE: Final = (
    ast.Compare, ast.BoolOp, ast.UnaryOp, ast.IfExp, ast.Tuple, ast.List, ast.Set, ast.JoinedStr, ast.FormattedValue,
    ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.NamedExpr,
)  # fmt: skip
