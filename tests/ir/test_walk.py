"""One walker for nested tuples, lists and dicts: its laws, and that nobody writes another without a reason."""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.modeling_outputs import BaseModelOutput

import analyzer
from analyzer.ir import walk


class Pair(NamedTuple):
    """A tuple whose class takes its parts one by one."""

    first: Any
    second: Any


ends = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.frozensets(st.integers(), max_size=2))
values = st.recursive(
    ends,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(st.integers(), max_size=3).map(torch.Size),
        st.builds(Pair, inner, inner),
        st.dictionaries(st.one_of(st.text(max_size=2), st.integers(100, 999)), inner, max_size=3),
    ),
    max_leaves=12,
)


def same(value: Any) -> Any:
    return value


def typed(value: Any) -> Any:
    """A value told apart by the class of every part of it, as `1 == True` and `(1,) == torch.Size([1])`."""
    return walk.key(value, lambda end: (type(end), end))


@given(values)
def test_changing_nothing_gives_an_equal_value_of_the_same_classes(value: Any) -> None:
    assert typed(walk.changed(value, object, same)) == typed(value)
    assert typed(walk.changed(value, object, same, exact=True)) == typed(value)


@given(values)
def test_what_is_changed_is_every_end_of_the_class_in_order(value: Any) -> None:
    made = walk.changed(value, str, lambda end: f"{end}!")

    assert list(walk.leaves(made, str)) == [f"{end}!" for end in walk.leaves(value, str)]
    others = [end for end in walk.leaves(value, object) if type(end) is not str]
    assert [end for end in walk.leaves(made, object) if type(end) is not str] == others


@given(values)
def test_a_path_leads_to_its_end(value: Any) -> None:
    paths: list[tuple[walk.Path, Any]] = []
    walk.changed_with_path(value, object, lambda end, path: paths.append((path, end)), into=list)

    assert [end for _, end in paths] == list(walk.leaves(value, object))
    for path, end in paths:
        found = value
        for part in path:
            found = {str(k): v for k, v in found.items()}[part] if isinstance(found, dict) else found[part]
        assert found is end


@given(values)
def test_every_container_is_made_anew(value: Any) -> None:
    made = walk.changed(value, str, same)

    assert not isinstance(value, (list, dict)) or made is not value


def test_lists_and_tuples_become_what_is_asked_for() -> None:
    value = [Pair(1, (2,)), {"a": torch.Size([3])}]

    assert typed(walk.changed(value, int, same, into=tuple)) == typed(((1, (2,)), {"a": (3,)}))
    assert typed(walk.changed(value, int, same, into=list)) == typed([[1, [2]], {"a": [3]}])


def test_with_exact_a_subclass_is_an_end() -> None:
    pair, size = Pair("x", "y"), torch.Size([1])

    made = walk.changed([pair, size, ("x",)], str, str.upper, exact=True)

    assert made == [pair, size, ("X",)] and made[0] is pair and made[1] is size


def test_a_dict_keeps_its_order_and_with_mappings_its_class() -> None:
    output = BaseModelOutput(last_hidden_state=torch.ones(1), hidden_states=(torch.ones(2),))
    ordered = OrderedDict(b=torch.ones(1), a=torch.ones(1))

    kept = walk.changed((output, ordered), torch.Tensor, torch.Tensor.half, mappings=True)
    plain = walk.changed((output, ordered), torch.Tensor, torch.Tensor.half)

    assert type(kept[0]) is BaseModelOutput and kept[0].hidden_states[0].dtype == torch.float16
    assert type(kept[1]) is OrderedDict and list(kept[1]) == ["b", "a"]
    assert [type(one) for one in plain] == [dict, dict] and list(plain[1]) == ["b", "a"]


@given(values, values)
def test_a_key_tells_values_apart_by_class_and_end(one: Any, other: Any) -> None:
    ends = [[(type(end), end) for end in walk.leaves(value, object)] for value in (one, other)]

    assert hash(typed(one)) == hash(typed(walk.changed(one, object, same)))
    assert ends[0] == ends[1] or typed(one) != typed(other)


STAY = {
    "ir/walk.py leaves": "the walker",
    "ir/walk.py rebuilt": "the walker",
    "ir/walk.py key": "the walker",
    "capture/tracing/outcomes.py tensors": "hot",
    "capture/tracing/outcomes.py _key": "hot",
    "capture/tracing/recorder.py arg": "hot",
    "capture/tracing/tracer.py lift": "hot",
    "ir/graph.py refs": "hot",
    "oracle/__init__.py _key": "hot",
    "propagate.py _filled": "hot",
    "oracle/operands.py real": "a tuple of sizes is one end, which is made smaller as a whole",
    "loaders/attention_packages.py _named": "it ends at the first that is found, and reads keys of dicts alone",
    "loaders/stubs/faithful/small_packages.py _taken": "a dict of its own kind is an end, and others become one",
    "report/arguments.py plain_argument": "a dict is an end there: it is how a file spells a reference",
    "report/arguments.py read_argument": "a dict is an end there: it is how a file spells a reference",
    "report/records.py _reader": "goes down an annotation, not data",
    "fixes/real/shrinking.py _smaller": "each key decides what becomes of its value",
    "fixes/real/shrinking.py _special": "each key decides whether its value counts",
    "running/output_tensors.py leaves": "looks into objects of any class, six deep",
    "capture/refusals/repro_script.py source": "writes text, with the brackets of the container",
    "inputs/__init__.py _shown": "writes text, with the separators of the container",
    "ir/plan.py _shown": "writes text, with the keys",
    "ir/text.py _arg": "writes text, with the brackets of the container",
    "render/json.py _texts": "writes text, with the brackets of the container",
    "loaders/attention_packages.py _parts": "goes down the sub-configs of a config; a dict is none",
    "loaders/exported/program_text.py _checked": "checks each text by its key, and leaves out what nothing needs",
    "loaders/exported/nesting.py _tree": "checks a description of containers, which is no container itself",
    "loaders/limits/patterns.py _patterns": "needs the key of each text",
    "loaders/limits/patterns.py _texts": "keys are patterns too",
    "loaders/limits/sizes.py _modules": "needs the key of each number, and sums",
    "loaders/limits/sizes.py _numbers": "needs the key of each number",
    "loaders/limits/sizes.py _patches": "goes down the sub-configs of a config",
    "loaders/limits/sizes.py _sinusoids": "goes down the sub-configs of a config",
    "plans/deepspeed.py _unknown": "gives the keys that a recipe may not have, not its ends",
    "plans/pickled.py _plain": "keys become strings, as JSON has them",
    "plans/plan_file.py _record": "reads every field by its class",
}
"""Function that calls itself and asks for the class of a container -> why it is no call of walk.py."""


def test_a_walker_written_by_hand_has_a_reason() -> None:
    root = Path(analyzer.__file__).parent
    found = {f"{file.relative_to(root).as_posix()} {name}" for file in root.rglob("*.py") for name in walkers(file)}

    assert found - set(STAY) == set(), "use analyzer/ir/walk.py, or say here why it cannot be used"
    assert set(STAY) - found == set(), "gone: strike them off"


@pytest.mark.parametrize("name", sorted(name for name, reason in STAY.items() if reason == "hot"))
def test_a_hot_walker_says_what_was_measured(name: str) -> None:
    file, _, function = name.partition(" ")
    tree = ast.parse((Path(analyzer.__file__).parent / file).read_text())
    (found,) = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function]

    said = ast.get_docstring(found) or ""
    assert "Hot: " in said and " us " in said and "walk." in said


@pytest.mark.parametrize(
    ("source", "is_walker"),
    [
        ("def f(x):\n    return [f(y) for y in x] if isinstance(x, (list, tuple)) else x", True),
        ("def f(x):\n    return tuple(map(f, x)) if type(x) is tuple else x", True),
        ("class A:\n    def f(self, x):\n        return self.f(x[0]) if type(x) in (dict, list) else x", True),
        ("def f(x):\n    match x:\n        case [y, *_]:\n            return f(y)", True),
        ("def f(x):\n    return isinstance(x, list)", False),
        ("def f(x):\n    return f(x - 1) if isinstance(x, int) else list(x)", False),
    ],
)
def test_the_count_sees_a_walker(source: str, is_walker: bool, tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text(source)

    assert list(walkers(file)) == ["f"] * is_walker


CONTAINERS = {"list", "tuple", "dict", "set", "frozenset", "Mapping", "Sequence", "OrderedDict"}


def walkers(file: Path) -> Iterator[str]:
    """Functions of a file that name themselves in their body and ask for a container's class."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = [part for statement in node.body for part in ast.walk(statement)]
            if any(_is_itself(part, node.name) for part in inside) and any(map(_asks, inside)):
                yield node.name


def _is_itself(part: ast.AST, name: str) -> bool:
    if isinstance(part, ast.Attribute):
        return part.attr == name and isinstance(part.value, ast.Name) and part.value.id in ("self", "cls")
    return isinstance(part, ast.Name) and part.id == name and isinstance(part.ctx, ast.Load)


def _asks(part: ast.AST) -> bool:
    if isinstance(part, (ast.MatchSequence, ast.MatchMapping)):
        return True
    if isinstance(part, ast.MatchClass):
        return bool(_names(part.cls) & CONTAINERS)
    if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "isinstance":
        return bool(_names(part.args[1]) & CONTAINERS)
    is_compared = isinstance(part, ast.Compare) and isinstance(part.ops[0], (ast.Is, ast.Eq, ast.In))
    return is_compared and bool(set().union(*map(_names, part.comparators)) & CONTAINERS)


def _names(tree: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(tree) if isinstance(part, ast.Name)}
