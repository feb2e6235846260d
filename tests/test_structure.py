"""The shape of the house: short functions, small folders, files that can be read in one go."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import analyzer

ROOT = Path(analyzer.__file__).parent
OPEN = ("plans", "render", "render/check", "render/diff", "rules", "loaders/kinds", "loaders/versions")
"""Folders that are extended by adding a file."""
BRANCHES, FILES, LINES = 15, 15, 350
_SPLITS = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.Assert, ast.match_case)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def branches(function: Function) -> int:
    """How often a function splits: statements, conditional expressions, boolean operators, comprehensions."""
    return sum(_splits(node) for node in _inside(function))


def _splits(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, _SPLITS))


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """Everything in a function but the functions and classes in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield child
            yield from _inside(child)


def test_no_function_has_many_branches() -> None:
    found = {
        f"{file.relative_to(ROOT)} {node.name}": count
        for file in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, Function) and (count := branches(node)) > BRANCHES
    }
    assert found == {}


@pytest.mark.parametrize(("source", "count"), [
    ("def f(x):\n return x", 0), ("def f(x):\n return x and x or x", 2), ("def f(x):\n return [y for y in x if y]", 2),
    ("def f(x):\n if x:\n  return 1\n for y in x:\n  def g():\n   return 1 if x else 2", 2),
])  # fmt: skip
def test_branches_are_counted(source: str, count: int) -> None:
    (function,) = ast.parse(source).body
    assert isinstance(function, Function) and branches(function) == count


def test_no_folder_is_crowded() -> None:
    folders = {file.parent for file in ROOT.rglob("*.py")}
    sizes = {folder.relative_to(ROOT).as_posix(): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: size for folder, size in sizes.items() if size > FILES and folder not in OPEN} == {}


def test_every_file_can_be_read_in_one_go_and_says_what_it_is_for() -> None:
    for file in ROOT.rglob("*.py"):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= LINES, file
        assert lines[0].startswith('"""') and len(lines[0]) > 20, file


FRONT = ("cli", "pipeline.py", "output_files.py", "worker", "plans", "training", "ir", "rules", "check", "diff",
         "picture", "render", "report", "errors.py", "gc_paused.py")  # fmt: skip
"""Rooms that do not know torch, whose types say what a value is."""
ANY = {
    "ir/walk.py": "rebuilds whatever it is given",
    "ir/plan.py": "the mixed fields that `replace` takes",
    "report/records.py": "what an annotation yields",
}


def test_the_front_says_what_its_values_are() -> None:
    files = [
        file for room in FRONT for file in ([ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py"))
    ]
    found = {
        file.relative_to(ROOT).as_posix()
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "Any"
    }
    assert found == set(ANY)
