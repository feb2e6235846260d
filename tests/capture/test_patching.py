"""What is changed in other libraries is put back, is changed in one way alone, and stands on the page."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from analyzer.capture.patching import GONE, patched, prepended, reset

ROOT = Path(__file__).parents[2]
ALLOWED = {
    "loaders/building.py: setattr(config)": "a config that the tool has made",
    "loaders/building.py: setattr(part)": "a part of it",
    "loaders/quantised/experts.py: module.__class__": "a module of the model that the tool has built",
    "oracle/operator_database.py: setattr(common_cuda)": "the process of `python -m analyzer.oracle operators` alone",
    "running/real_runs/real_run.py: setattr(part)": "a part of a model that the tool has built or copied",
    "running/process_state.py: sys.path": "puts back what was there",
    "running/process_state.py: os.environ": "puts back what was there",
    "inputs/token_ids.py: setattr(model)": "the one model that was built: ids that its own chat would set on it",
    "__main__.py: os.environ": "the command's own process, so that Pythons that it starts import nothing of strangers",
    "__main__.py: sys.path": "the command's own process, before it imports anything",
    "own_process.py: sys.unraisablehook": "the command's own process: no library is heard",
    "own_process.py: threading.excepthook": "the same",
    "worker/in_process.py: os.environ": "for --in-process alone, before torch is imported",
    "worker/worker_main.py: os.environ": "the worker's own process, before it imports anything large",
    "worker/worker_main.py: sys.path": "the worker's own process, once it is confined: the packages of --with",
    "worker/fork_server.py: os.environ": "the worker's own process, before its conversation begins",
    "worker/fork_server.py: tempfile.tempdir": "the same: where that process may write",
}
_WRITES = {"append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


class Base:
    held = 1


class Derived(Base):
    pass


def test_an_inherited_attribute_is_inherited_again() -> None:
    with patched(Derived, "held", 2, why="a test"):
        assert Derived.held == 2 and Base.held == 1
    assert "held" not in vars(Derived) and Derived.held == 1


def test_a_descriptor_comes_back_as_it_was() -> None:
    class Own:
        @staticmethod
        def call() -> int:
            return 1

    before = vars(Own)["call"]
    with patched(Own, "call", lambda: 2, why="a test"):
        assert Own.call() == 2
    assert vars(Own)["call"] is before and Own().call() == 1


def test_what_was_missing_is_missing_again_also_after_an_error() -> None:
    module, entries = ModuleType("m"), {"kept": 1}
    with (
        pytest.raises(KeyError),
        patched(module, "name", 1, why="a test"),
        patched(entries, "new", 2, why="a test"),
        patched(entries, "kept", GONE, why="a test"),
    ):
        assert module.name == 1 and entries == {"new": 2}
        raise KeyError
    assert not hasattr(module, "name") and entries == {"kept": 1}


def test_nested_changes_of_one_name_come_back_in_turn() -> None:
    with patched(sys.modules, "no_such", Base, why="a test"):  # type: ignore[arg-type]
        with patched(sys.modules, "no_such", Derived, why="a test"):  # type: ignore[arg-type]
            del sys.modules["no_such"]
        assert sys.modules["no_such"] is Base
    assert "no_such" not in sys.modules


def test_an_item_that_somebody_else_took_away() -> None:
    items = [1]
    with prepended(items, 0, what="a list", why="a test"):
        assert items == [0, 1]
        items.remove(0)
    assert items == [1]
    reset(Derived, "no_such", GONE, why="a test")  # nothing to do is no error


def test_the_page_lists_what_the_sources_change() -> None:
    made = _docs()
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "run `python docs/patches.py`"
    assert len(made.patches()) > 30


def test_every_state_of_a_module_has_its_reason() -> None:
    made = _docs()
    assert made.module_state() == set(made.STATE)


def test_libraries_are_changed_in_one_way() -> None:
    files = sorted((ROOT / "analyzer").rglob("*.py"))
    names = ((str(file.relative_to(ROOT / "analyzer")), file.read_text(encoding="utf-8")) for file in files)
    found = {f"{name}: {what}" for name, text in names if name != "capture/patching.py" for what in foreign(text)}
    assert found == set(ALLOWED)


@pytest.mark.parametrize("line", [
    "from unittest.mock import patch", "import unittest.mock", "setattr(torch, 'load', 1)", "torch.load = 1",
    "torch.nn.Module.to, b = 1, 2", "sys.modules['x'] = 1", "del sys.modules['x']", "sys.path.insert(0, 'x')",
    "os.environ.update(A='1')", "x.__class__ = int", "nn.Linear.count += 1", "delattr(torch, 'load')",
])  # fmt: skip
def test_another_way_is_seen(line: str) -> None:
    assert list(foreign(f"import os, sys, torch\nfrom torch import nn\n{line}\n"))


def foreign(text: str) -> Iterator[str]:
    """What a file changes, or could change, of other libraries by itself."""
    tree = ast.parse(text)
    others: set[str] = set()
    for one in ast.walk(tree):
        if isinstance(one, ast.Import):
            others |= {alias.asname or alias.name.split(".")[0] for alias in one.names}
            yield from (alias.name for alias in one.names if "mock" in alias.name)
        elif isinstance(one, ast.ImportFrom) and not (one.module or "").startswith("analyzer"):
            others |= {alias.asname or alias.name for alias in one.names}
            if "mock" in (one.module or ""):
                yield one.module or ""
    for one in ast.walk(tree):
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in ("setattr", "delattr"):
            yield f"{one.func.id}({ast.unparse(one.args[0])})"
        if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in _WRITES:
            owner = ast.unparse(one.func.value)
            if "." in owner and owner.split(".")[0] in others:
                yield owner
        targets = one.targets if isinstance(one, (ast.Assign, ast.Delete)) else []
        for target in [one.target] if isinstance(one, ast.AugAssign) else targets:
            for place in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(place, ast.Attribute) and place.attr == "__class__":
                    yield ast.unparse(place)
                if isinstance(place, (ast.Attribute, ast.Subscript)):
                    owner = ast.unparse(place.value if isinstance(place, ast.Subscript) else place)
                    if owner.split(".")[0] in others and "(" not in owner:  # what a call gives is one's own
                        yield owner


def _docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_patches", ROOT / "docs" / "patches.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with patched(sys.modules, "docs_patches", made, why="dataclasses look there"):
        spec.loader.exec_module(made)
    return made
