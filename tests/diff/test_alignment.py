"""Sequences are aligned by what they have in common, in time that does not grow with the square of their length."""

from __future__ import annotations

from collections import Counter
from random import Random
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.diff.alignment import align

LAYER = "qkvtmsmtolnuugdal"
"""The operations of one layer: some of them stand in it more than once."""
LONG = st.integers(0, 10_000).map(lambda seed: Random(seed).choices(LAYER, k=150))


@given(LONG, LONG)
def test_equal_words_are_paired_once_and_as_many_as_there_are(a: list[str], b: list[str]) -> None:
    pairs = list(align(a, b))
    assert all(a[i] == b[j] for i, j in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert Counter(a[i] for i, _ in pairs) == Counter(a) & Counter(b)


@given(LONG, st.sets(st.integers(0, 149), max_size=40))
def test_new_words_leave_each_old_one_with_itself(a: list[str], at: set[int]) -> None:
    longer = [word for i, one in enumerate(a) for word in ("cast" if i in at else "", one) if word]
    places = [i for i, word in enumerate(longer) if word != "cast"]
    assert sorted(align(a, longer)) == list(enumerate(places))
    assert sorted(align(longer, a)) == [(place, i) for i, place in enumerate(places)]


@pytest.mark.parametrize("change", ["", "q", "new"])
def test_a_change_in_each_of_many_layers(change: str) -> None:
    """Nothing, a word that the layers have, or one that they have not, in place of the sixth of each layer."""
    layers = 1200
    other = LAYER[:5] + "." + LAYER[6:]
    after = [word for _ in range(layers) for one in other for word in ([change] * bool(change) if one == "." else one)]
    began = process_time()
    pairs = set(align(list(LAYER * layers), after))
    assert process_time() - began < 5
    size, steady = len(LAYER) - (not change), [k for k in range(len(LAYER)) if k != 5]
    kept = {(len(LAYER) * n + k, size * n + k - (k > 5 and not change)) for n in range(layers) for k in steady}
    assert len(kept - pairs) < 4


def test_whatever_order_words_are_in_time_is_bounded() -> None:
    words = [str(i % 5000) for i in range(20_000)]
    shuffled = Random(1).sample(words, len(words))
    began = process_time()
    for other in (shuffled, words[::-1], words[10_000:] + words[:10_000], ["a", "b", "b"] * 6000):
        list(align(words, other))
    list(align(["a", "b"] * 10_000, ["b", "a", "a"] * 6000))
    assert process_time() - began < 10
