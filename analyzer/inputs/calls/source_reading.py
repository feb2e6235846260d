"""Reads from the source of a method which keys of a dict it uses, and to what it hands on all that it is given."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import nn

from analyzer.capture.refusals.conditions import parsed

_DEEPEST: Final = 4
"""Through how many methods a dict is followed."""
_NO_KEYS: Final = frozenset({*dir(dict), *dir(torch.Tensor)})
"""Attributes that dicts or tensors have anyway."""
_OPTIONAL: Final = ("get", "pop", "setdefault")


def definition(function: Callable[..., Any]) -> ast.FunctionDef | None:
    """The source of a function or method, parsed; None where there is none."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    found = [
        node
        for node in ast.walk(parsed(code.co_filename))
        if isinstance(node, ast.FunctionDef)
        and node.name == code.co_name
        and min([node.lineno, *(one.lineno for one in node.decorator_list)]) <= code.co_firstlineno
        and code.co_firstlineno <= node.body[0].lineno
    ]
    return found[-1] if found else None


def keys_read(model: nn.Module, function: Callable[..., Any], name: str, depth: int = _DEEPEST) -> dict[str, bool]:
    """The keys that a method reads of an argument, in order, and whether it cannot do without each.

    What it hands the argument on to, whole or with `**`, is read as well.
    """
    tree = definition(function)
    if tree is None or depth == 0:
        return {}
    found: dict[str, bool] = {}
    asked, stored = _asked_for(tree, name), set[str]()
    for node in sorted(_expressions(tree), key=lambda node: (node.lineno, node.col_offset)):
        for key, needed in _read(node, name):
            if needed is None:
                stored.add(key)
            elif key not in stored:
                found[key] = found.get(key, False) or (needed and key not in asked)
        if isinstance(node, ast.Call):
            for key, needed in _handed(model, function, node, name, depth).items():
                found[key] = found.get(key, False) or (needed and key not in asked)
    return found


def handed_on(model: nn.Module, function: Callable[..., Any]) -> Iterator[Any]:
    """What a method calls with `*args` or `**kwargs` of its own, the last call first: modules and methods."""
    tree = definition(function)
    gathered = {one.arg for one in (tree.args.vararg, tree.args.kwarg) if one} if tree else set()
    for node in reversed(list(ast.walk(tree)) if tree else []):
        if isinstance(node, ast.Call) and gathered & {_name(one) for one in _starred(node)}:
            target = _resolved(model, function, node.func)
            if callable(target) and target != function:
                yield target


def _expressions(tree: ast.AST) -> Iterator[ast.expr]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.expr))


def _starred(node: ast.Call) -> list[ast.expr]:
    unpacked = [one.value for one in node.keywords if one.arg is None]
    return [*(one.value for one in node.args if isinstance(one, ast.Starred)), *unpacked]


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _asked_for(tree: ast.AST, name: str) -> set[str]:
    """Keys of which the source asks whether they are there."""
    tests = (node for node in ast.walk(tree) if isinstance(node, ast.Compare) and isinstance(node.left, ast.Constant))
    return {
        str(node.left.value)  # type: ignore[attr-defined]
        for node in tests
        if isinstance(node.ops[0], (ast.In, ast.NotIn)) and _name(_mapping(node.comparators[0])) == name
    }


def _mapping(node: ast.expr) -> ast.expr:
    """What `data.keys()` is of."""
    call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "keys"
    return node.func.value if call else node  # type: ignore[attr-defined]


def _read(node: ast.expr, name: str) -> Iterator[tuple[str, bool | None]]:
    """The key that an expression reads of the argument, and whether it needs it; None where it stores it."""
    if isinstance(node, ast.Subscript) and _name(node.value) == name:
        yield from ((key, _is_read(node)) for key in _word(node.slice))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _name(node.func.value) == name:
        needed = node.func.attr == "pop" and len(node.args) == 1
        yield from ((key, needed) for one in node.args[:1] if node.func.attr in _OPTIONAL for key in _word(one))
    elif isinstance(node, ast.Attribute) and _name(node.value) == name and node.attr not in _NO_KEYS:
        yield node.attr, _is_read(node)


def _is_read(node: ast.Subscript | ast.Attribute) -> bool | None:
    return True if isinstance(node.ctx, ast.Load) else None


def _word(node: ast.expr) -> list[str]:
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _handed(model: nn.Module, function: Callable[..., Any], node: ast.Call, name: str, depth: int) -> dict[str, bool]:
    """The keys that a called method reads, where it is handed the argument."""
    if name in map(_name, _starred(node)):
        named = {one.arg for one in node.keywords}
        taken = _taken(_resolved(model, function, node.func))
        return {key: needed for key, needed in taken.items() if key not in named}
    places = [at for at, one in enumerate(node.args) if _name(one) == name]
    words = [one.arg for one in node.keywords if one.arg and _name(one.value) == name]
    target = _resolved(model, function, node.func) if places or words else None
    method: Any = target.forward if isinstance(target, nn.Module) else target
    owner = getattr(method, "__self__", None)
    if not isinstance(owner, nn.Module):
        return {}
    takes = list(_taken(method))
    inside = words or takes[places[0] : places[0] + 1]
    return keys_read(owner, method, inside[0], depth - 1) if inside else {}


def _taken(target: Any) -> dict[str, bool]:
    """The arguments of a module or method, and whether it needs each."""
    try:
        parameters = inspect.signature(target.forward if isinstance(target, nn.Module) else target).parameters
    except (TypeError, ValueError):
        return {}
    named = (one for one in parameters.values() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD))
    return {one.name: one.default is one.empty for one in named}


def _resolved(model: nn.Module, function: Callable[..., Any], called: ast.expr) -> Any:
    """What `self.model.forward` or `super().forward` stands for in a method of a model; None if that is not known."""
    if isinstance(called, ast.Call) and _name(called.func) == "super":
        code = getattr(inspect.unwrap(function), "__code__", None)
        order = type(model).__mro__
        own = [at for at, cls in enumerate(order) if code in [getattr(v, "__code__", 0) for v in vars(cls).values()]]
        return super(order[own[0]], model) if own else None
    if isinstance(called, ast.Attribute):
        return getattr(_resolved(model, function, called.value), called.attr, None)
    return model if _name(called) == "self" else None
