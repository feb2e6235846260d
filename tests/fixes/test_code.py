"""The law of a cast in the source: the file's tree is as before, with `.to(...)` on that expression."""

from __future__ import annotations

import ast
import random
from pathlib import Path

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
        if isinstance(node, ast.expr) and _span(node) in self.spans:
            return ast.Call(ast.Attribute(node, "to", ast.Load()), [ast.Name("d", ast.Load())], [])
        return node


def _span(one: ast.AST) -> tuple[object, ...]:
    return type(one), *(getattr(one, name, None) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"))


def _castable(code: Code) -> list[ast.expr]:
    lines = range(1, len(code.text.splitlines()) + 1)
    found = {id(expr): expr for line in lines for one in code.at(line) for expr in operands(one, code)}
    targets = {id(one.target) for one in ast.walk(code.tree) if isinstance(one, ast.AugAssign)}
    targets |= {id(one.targets[0].value) for one in ast.walk(code.tree) if isinstance(one, ast.Assign)
                and isinstance(one.targets[0], ast.Subscript)}  # fmt: skip
    return [expr for key, expr in found.items() if key not in targets]


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


@pytest.mark.parametrize("name", ["../outside.py", "no.py", "data.txt", "broken.py", ""])
def test_what_is_no_python_of_the_folder_is_not_read(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "outside.py").write_text("x = 1\n")
    (folder / "data.txt").write_text("x = 1\n")
    (folder / "broken.py").write_text("x = = 1\n")
    assert read(folder, name) is None
    assert read(folder, str(tmp_path / "outside.py")) is None
