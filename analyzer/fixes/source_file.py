"""A source file as text and tree: the calls at a line, where a name was given its value, and casts written in."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import torch

from analyzer.foreign.links import lies_in

_CLOSED: Final = (ast.Name, ast.Attribute, ast.Call, ast.Subscript)
"""Expressions that take `.to(...)` without brackets around them."""
_NAMED: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_FUNCTIONS: Final = (*_NAMED, ast.Lambda)
_NO_TENSORS: Final = (
    ast.Constant, ast.Starred, ast.Lambda, ast.JoinedStr, ast.UnaryOp, ast.Compare, ast.BoolOp,
    ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.Dict, ast.Set,
)  # fmt: skip
METHODS: Final = {"torch.int64": ".long()", "torch.bool": ".bool()"}
"""Dtypes that a cast has a short form for, in which an index or a mask is written."""
Mixing: TypeAlias = ast.BinOp | ast.AugAssign | ast.Assign | ast.Call | ast.Subscript
"""What may be written with several tensors."""


_NEW: Final = (2, 0)
_FLOATS: Final = frozenset({"float", "double", "half", "bfloat16"})
"""Methods that cast to the dtype of their name."""
_DTYPES: Final = frozenset({"to", "type"})
"""Methods that cast to the dtype that they are given."""
_FACTORIES: Final = frozenset({
    "arange", "as_tensor", "empty", "empty_like", "eye", "from_numpy", "full", "full_like", "linspace", "logspace",
    "new_empty", "new_full", "new_ones", "new_tensor", "new_zeros", "ones", "ones_like", "rand", "rand_like", "randn",
    "randn_like", "tensor", "zeros", "zeros_like",
})  # fmt: skip
"""Functions that make a tensor in the `dtype` that they are given, and compute nothing in it."""


@dataclass(frozen=True, slots=True, order=True)
class Insertion:
    """A few characters to be put into a file, before the byte at `at`, or in the place of some."""

    at: int
    order: tuple[int, int]
    """Of several at one byte: what closes an inner expression, an outer one; what opens an outer one, an inner one."""
    text: str
    until: int = 0
    """The byte before which the replaced text ends; 0 where nothing is replaced."""

    def clashes(self, other: Insertion) -> bool:
        """Whether another one is to be written inside of what this one replaces."""
        begins = -other.order[1] if other.order[0] == 0 else other.at
        inside = self.at <= begins < self.until and self.at < other.at <= self.until
        return inside or self.at < other.at < self.until or (other.at == self.at and other.until > 0)


@dataclass(frozen=True, slots=True)
class Code:
    """One Python file of a model folder."""

    name: str
    text: str
    tree: ast.Module

    def at(self, line: int) -> Iterator[Mixing]:
        """Operators, calls, `x[i]` and `x[i] = y` that a line is part of, those inside of format strings left out."""
        frozen = {id(inner) for outer in ast.walk(self.tree) if isinstance(outer, ast.JoinedStr)
                  for inner in ast.walk(outer)}  # fmt: skip
        for one in ast.walk(self.tree):
            if not isinstance(one, Mixing):
                continue
            plain = isinstance(one, ast.Assign) and not isinstance(one.targets[0], ast.Subscript)
            plain = plain or (isinstance(one, ast.Subscript) and not isinstance(one.ctx, ast.Load))
            if not plain and id(one) not in frozen and _spans(one, line):
                yield one

    def imports(self, name: str) -> bool:
        """Whether a name is bound by an import of the file."""
        made = (alias for one in ast.walk(self.tree) if isinstance(one, (ast.Import, ast.ImportFrom))
                for alias in one.names)  # fmt: skip
        return any((alias.asname or alias.name.split(".")[0]) == name for alias in made)

    def function(self, line: int) -> ast.AST:
        """The innermost function that a line is part of, else the file."""
        around = [one for one in ast.walk(self.tree) if isinstance(one, _FUNCTIONS) and _spans(one, line)]
        return max(around, key=lambda one: one.lineno, default=self.tree)

    def owners(self, line: int) -> set[str]:
        """The names of the object whose methods a line is part of: `self`, or what the author calls it."""
        methods = (one for outer in ast.walk(self.tree) if isinstance(outer, ast.ClassDef) and _spans(outer, line)
                   for one in outer.body if isinstance(one, _NAMED) and _spans(one, line))  # fmt: skip
        return {"self", *(one.args.args[0].arg for one in methods if one.args.args)}

    def assigned(self, name: str, line: int) -> list[ast.Assign | ast.AugAssign | ast.AnnAssign]:
        """The statements that give a name its value, in the function that a line is part of."""
        return [
            one for one in ast.walk(self.function(line))
            if isinstance(one, (ast.Assign, ast.AugAssign, ast.AnnAssign))
            and any(isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Store)
                    for inner in ast.walk(one))
        ]  # fmt: skip

    def constants(self, name: str) -> list[ast.Assign | ast.AugAssign | ast.AnnAssign]:
        """The statements outside of all functions that give a name its value."""
        return [
            one for one in self.tree.body if isinstance(one, (ast.Assign, ast.AugAssign, ast.AnnAssign))
            and any(isinstance(inner, ast.Name) and inner.id == name and isinstance(inner.ctx, ast.Store)
                    for inner in ast.walk(one))
        ]  # fmt: skip

    def gives_one(self, one: Mixing) -> bool:
        """Whether what an expression gives is taken as one tensor, as far as the code around it says so."""
        if not isinstance(one, ast.expr):
            return False
        for outer in ast.walk(self.tree):
            if isinstance(outer, ast.Assign) and outer.value is one:
                return not any(isinstance(target, (ast.Tuple, ast.List)) for target in outer.targets)
            if getattr(outer, "value", None) is one and isinstance(outer, (ast.Subscript, ast.Starred, ast.Expr)):
                return False
            if getattr(outer, "iter", None) is one:
                return False
        return True

    def cast(self, odd: ast.expr, dtype: str) -> tuple[Insertion, ...]:
        """What makes `odd` into `odd.to(dtype)`, or `odd.long()`; if it is a cast of floats itself, that is changed."""
        start, end = self.span(odd)
        after = METHODS.get(dtype) or f".to({dtype})"
        if isinstance(odd, ast.Call) and isinstance(odd.func, ast.Attribute):
            told, inner = _told_dtype(odd), odd.func.value
            if told is odd or (told is not None and dtype in METHODS):
                return (Insertion(self.span(inner)[1], _NEW, after, end),)
            if told is not None:
                return (self.replaced(told, dtype),)
        if isinstance(odd, _CLOSED):
            return (Insertion(end, (0, -start), after),)
        return Insertion(start, (1, -end), "("), Insertion(end, (0, -start), ")" + after)

    def replaced(self, old: ast.expr, text: str) -> Insertion:
        """What writes a text in the place of an expression."""
        start, end = self.span(old)
        return Insertion(start, _NEW, text, end)

    def span(self, one: ast.expr) -> tuple[int, int]:
        """The bytes at which an expression starts and ends."""
        start = self._offset(one.lineno, one.col_offset)
        return start, self._offset(one.end_lineno or one.lineno, one.end_col_offset or 0)

    def with_all(self, insertions: Sequence[Insertion]) -> str:
        """The file with these written in; "" if two want the same place, or if it would no longer be Python."""
        raw, ordered = self.text.encode(), sorted(set(insertions), reverse=True)
        if any(one.until and one.clashes(other) for one in ordered for other in ordered if other is not one):
            return ""
        for one in ordered:
            raw = raw[: one.at] + one.text.encode() + raw[one.until or one.at :]
        try:
            ast.parse(raw)
        except SyntaxError:
            return ""
        return raw.decode()

    def _offset(self, line: int, column: int) -> int:
        return sum(map(len, self.text.encode().splitlines(keepends=True)[: line - 1])) + column


def folder_of(model: Path) -> Path:
    """The folder that a graph's names of files are relative to: the model's own, or that of its Python file."""
    return model.parent if model.suffix == ".py" and model.is_file() else model


def read(folder: Path, name: str) -> Code | None:
    """A Python file inside a model folder by the name that a graph has for it; None if it is none."""
    file = folder / name
    inside = lies_in(file, folder)
    if not name or Path(name).is_absolute() or not inside or file.suffix != ".py" or not file.is_file():
        return None
    with file.open(encoding="utf-8", newline="") as stream:  # the file's own ends of lines are kept
        return _parsed(name, stream.read())


@lru_cache(maxsize=32)
def _parsed(name: str, text: str) -> Code | None:
    try:
        return Code(name, text, ast.parse(text))
    except SyntaxError:
        return None


def operands(one: Mixing, code: Code) -> list[ast.expr]:
    """The expressions of an operator or a call that may be tensors, in order; those in a list count one by one."""
    if isinstance(one, ast.BinOp):
        return [side for side in (one.left, one.right) if not isinstance(side, ast.Constant)]
    if isinstance(one, ast.Subscript):
        indexes = one.slice.elts if isinstance(one.slice, ast.Tuple) else [one.slice]
        return [one.value, *(index for index in indexes if not isinstance(index, (*_NO_TENSORS, ast.Slice)))]
    if isinstance(one, ast.AugAssign):
        return [one.target, one.value]
    if isinstance(one, ast.Assign):
        return [one.targets[0].value if isinstance(one.targets[0], ast.Subscript) else one.targets[0], one.value]
    owner = [one.func.value] if isinstance(one.func, ast.Attribute) and not _of_a_module(one.func, code) else []
    return [*(expr for expr in owner if not isinstance(expr, _NO_TENSORS)), *arguments(one)]


def arguments(one: ast.Call) -> list[ast.expr]:
    """The arguments of a call that may be tensors, without the tensor whose method it may be."""
    given = [*one.args, *(keyword.value for keyword in one.keywords if keyword.arg)]
    return [arg for arg in _one_by_one(given) if not isinstance(arg, _NO_TENSORS)]


def targets(one: Mixing, code: Code) -> list[ast.expr]:
    """The operands that an operator or a call writes into: a cast would give it a copy, and the write would be lost."""
    if not isinstance(one, ast.Call):
        return operands(one, code)[:1] if isinstance(one, (ast.Assign, ast.AugAssign)) else []
    name = one.func.attr if isinstance(one.func, ast.Attribute) else getattr(one.func, "id", "")
    in_place = name.endswith("_") and not name.endswith("__")
    return [
        *(operands(one, code)[:1] if in_place else ()),
        *_one_by_one([keyword.value for keyword in one.keywords if keyword.arg == "out"]),
    ]


def _one_by_one(given: Sequence[ast.expr]) -> list[ast.expr]:
    return [inner for arg in given for inner in (arg.elts if isinstance(arg, (ast.List, ast.Tuple)) else [arg])]


def _told_dtype(one: ast.Call) -> ast.expr | None:
    """The argument that says to which dtype a call casts, or in which it makes a tensor; None if there is none.

    Of `.float()` and the like it is the call itself.
    """
    name = one.func.attr if isinstance(one.func, ast.Attribute) else ""
    if name in _FLOATS and not one.args and not one.keywords:
        return one
    named = [keyword.value for keyword in one.keywords if keyword.arg == "dtype"]
    if name in _DTYPES:
        return next((arg for arg in (*named, *one.args) if arg in named or _is_dtype(arg)), None)
    return named[0] if name in _FACTORIES and named else None


def _is_dtype(one: ast.expr) -> bool:
    """Whether an expression is a dtype, as far as it says so: `torch.float32`, `x.dtype`, one of two of these."""
    if isinstance(one, ast.IfExp):
        return _is_dtype(one.body) and _is_dtype(one.orelse)
    name = one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "")
    return name.endswith("dtype") or isinstance(getattr(torch, name, None), torch.dtype)


def pure(expression: ast.expr) -> bool:
    """Whether it may be read twice: a name, or attributes of one."""
    while isinstance(expression, ast.Attribute):
        expression = expression.value
    return isinstance(expression, ast.Name)


def _of_a_module(func: ast.Attribute, code: Code) -> bool:
    """Whether `F.linear` or `self.attn` is called, rather than a tensor's own method."""
    root: ast.expr = func
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name) or code.imports(root.id):
        return isinstance(root, ast.Name)
    held = func.value is not root and hasattr(torch.Tensor, func.attr)  # `self.cache.index_copy_`
    return root.id in code.owners(func.lineno) and not held


def _spans(one: ast.AST, line: int) -> bool:
    start = getattr(one, "lineno", 0)
    return start <= line <= (getattr(one, "end_lineno", None) or start)
