"""The order in which other dtypes are tried for a refused call, and what is never tried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.ir.dtypes import DTYPES
from analyzer.oracle.remedies import remedies

dtypes = st.lists(st.sampled_from(sorted(DTYPES)), max_size=5)


@given(dtypes=dtypes, written=st.sets(st.integers(0, 4)))
def test_each_changes_something_and_none_comes_twice(dtypes: list[str], written: set[int]) -> None:
    found = list(remedies(dtypes, written))
    assert len({tuple(change.items()) for change in found}) == len(found)
    for change in found:
        assert change and all(dtypes[at] != dtype in DTYPES for at, dtype in change.items())


@given(dtypes=dtypes)
def test_one_operand_is_changed_before_two(dtypes: list[str]) -> None:
    sizes = [len(change) for change in remedies(dtypes)]
    singles = sizes.count(1)
    assert sizes[:singles] == [1] * singles or len(set(dtypes)) == len(dtypes)


def test_the_lesser_kind_is_changed_first_and_a_destination_last() -> None:
    assert next(remedies(["float32", "int64"])) == {1: "float32"}
    assert next(remedies(["bool", "int64", "complex64"])) == {0: "complex64"}
    first = [at for change in remedies(["int64", "float32"], written=[0]) for at in change]
    assert first.index(1) < first.index(0)


def test_many_operands_are_changed_by_groups_alone() -> None:
    found = list(remedies(["float32"] * 400 + ["int64"]))
    assert {400: "float32"} in found and len(found) < 100
