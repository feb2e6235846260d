"""The law of a cast in the source: the tree is as before, with `.to(...)` on an expression, or its own cast changed."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import Any

import pytest

from analyzer.fixes.source_file import Code, operands, read
from tests.samples.shrink import SAMPLES

NASTY = """
import torch as t
def f(self, x, ä, *more, **rest):
    y = (x
         + ä)  # über
    s = f"{x + y!r} {self.fc(x)}"
    z = t.cat([x, ä, y * 2], dim=1) if x is not None else (yield)
    z @= (lambda w: w + x)(ä); q = self.attn(
        x if y else ä,
        key=not_a_tensor(x)[0], value=x @ y, *more, **rest)
\tif True: return a.b.c(x := y, (u for u in x)) + 'ß' * 2
    return x.matmul(y).to("ü") - -x ** y
""".replace("\tif", "    if")
FILES = {file.name: file.read_text() for file in sorted((SAMPLES / "minicpm_v_2").glob("*.py"))} | {"nasty.py": NASTY}


class _Cast(ast.NodeTransformer):
    """Puts `.to(d)` behind the expressions that start and end where these do."""

    def __init__(self, chosen: list[ast.expr]) -> None:
        self.spans = {_span(one) for one in chosen}

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if not isinstance(node, ast.expr) or _span(node) not in self.spans:
            return node
        told = told_dtype(node)
        if told is None:
            return ast.Call(ast.Attribute(node, "to", ast.Load()), [ast.Name("d", ast.Load())], [])
        if told is node:
            return ast.Call(ast.Attribute(node.func.value, "to", ast.Load()), [ast.Name("d", ast.Load())], [])
        node.args = [ast.Name("d", ast.Load()) if arg is told else arg for arg in node.args]
        for keyword in node.keywords:
            keyword.value = ast.Name("d", ast.Load()) if keyword.value is told else keyword.value
        return node


def told_dtype(node: ast.expr) -> Any:
    """What says the dtype of a cast, of those that the files have."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    name, keys = node.func.attr, [one.value for one in node.keywords if one.arg == "dtype"]
    if name in ("float", "half", "double", "bfloat16") and not node.args and not node.keywords:
        return node
    if name in ("to", "type"):
        says = [arg for arg in node.args if ast.unparse(arg).endswith((".dtype", "dtype", ".float32", ".float16"))]
        return next(iter((*keys, *says)), None)
    return (
        next(iter(keys), None)
        if name in ("tensor", "zeros", "ones", "arange", "full", "zeros_like", "full_like")
        else None
    )


def _span(one: ast.AST) -> tuple[object, ...]:
    return type(one), *(getattr(one, name, None) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"))


def _castable(code: Code) -> list[ast.expr]:
    lines = range(1, len(code.text.splitlines()) + 1)
    found = {id(expr): expr for line in lines for one in code.at(line) for expr in operands(one, code)}
    targets = {id(one.target) for one in ast.walk(code.tree) if isinstance(one, ast.AugAssign)}
    targets |= {id(one.targets[0].value) for one in ast.walk(code.tree) if isinstance(one, ast.Assign)
                and isinstance(one.targets[0], ast.Subscript)}  # fmt: skip
    says = [told for expr in found.values() if (told := told_dtype(expr)) is not None and told is not expr]
    inside = {id(inner) for told in says for inner in ast.walk(told)}
    return [expr for key, expr in found.items() if key not in targets | inside]


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("name", FILES)
def test_the_tree_has_the_casts_and_is_otherwise_as_before(name: str, ends: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name].replace("\n", ends).encode())
    code = read(tmp_path, name)
    assert code
    exprs, choose = _castable(code), random.Random(name)
    assert exprs
    for _ in range(40):
        chosen = choose.sample(exprs, min(len(exprs), choose.choice([1, 1, 2, 3])))
        after = code.with_all([insertion for expr in chosen for insertion in code.cast(expr, "d")])
        expected = _Cast(chosen).visit(ast.parse(code.text))
        assert after, [ast.unparse(expr) for expr in chosen]
        assert ast.dump(ast.parse(after)) == ast.dump(expected), [ast.unparse(expr) for expr in chosen]
        assert after.count("\r") == code.text.count("\r")


def test_what_would_not_parse_is_no_patch(tmp_path: Path) -> None:
    code = Code("m.py", "y = x\n", ast.parse("y = x\n"))
    (assign,) = code.tree.body
    assert isinstance(assign, ast.Assign)
    assert code.with_all(code.cast(assign.value, "d")) == "y = x.to(d)\n"
    assert code.with_all(code.cast(assign.targets[0], "d")) == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x.float()", "x.to(d)"),
        ("x.to(torch.float32)", "x.to(d)"),
        ("x.to(device, dtype=y.dtype)", "x.to(device, dtype=d)"),
        ("x.to(device, torch.half)", "x.to(device, d)"),
        ("x.to(a.dtype if a else torch.half)", "x.to(d)"),
        ("torch.ones(2, dtype=torch.float32)", "torch.ones(2, dtype=d)"),
        ("x.new_zeros(2, dtype=torch.float32)", "x.new_zeros(2, dtype=d)"),
        ("x.to(device)", "x.to(device).to(d)"),
        ("x.to(other)", "x.to(other).to(d)"),
        ("x.float().abs()", "x.float().abs().to(d)"),
        ("x.softmax(-1, dtype=torch.float32)", "x.softmax(-1, dtype=torch.float32).to(d)"),
        ("x.sum(dtype=torch.float32)", "x.sum(dtype=torch.float32).to(d)"),
        ("x.long()", "x.long().to(d)"),
    ],
)
def test_a_cast_is_changed_and_none_is_put_behind_it(old: str, new: str) -> None:
    text = f"y = {old}\n"
    code = Code("m.py", text, ast.parse(text))
    (assign,) = code.tree.body
    assert isinstance(assign, ast.Assign)
    assert code.with_all(code.cast(assign.value, "d")) == f"y = {new}\n"


def test_two_changes_of_one_place_are_no_patch() -> None:
    code = Code("m.py", "y = x.to(a.dtype)\n", ast.parse("y = x.to(a.dtype)\n"))
    (assign,) = code.tree.body
    assert isinstance(assign, ast.Assign) and isinstance(assign.value, ast.Call)
    inner = assign.value.args[0]
    assert code.with_all([*code.cast(assign.value, "d"), *code.cast(inner, "e")]) == ""


@pytest.mark.parametrize("name", ["../outside.py", "no.py", "data.txt", "broken.py", ""])
def test_what_is_no_python_of_the_folder_is_not_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "outside.py").write_text("x = 1\n")
    (folder / "data.txt").write_text("x = 1\n")
    (folder / "broken.py").write_text("x = = 1\n")
    assert read(folder, name) is None
    assert read(folder, str(tmp_path / "outside.py")) is None
