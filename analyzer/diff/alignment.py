"""Aligns two sequences of words: which are the same, where some are put in, taken out or moved."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

Words = Sequence[Hashable]
Pair = tuple[int, int]
"""A position in each sequence."""

SMALL: Final = 4096
"""Product of the lengths of two parts up to which their longest common runs are looked for, which is quadratic."""
DEEPEST: Final = 12
"""How often a part between pairs is taken apart again."""
CONTEXTS: Final = (1, 4, 16)
"""Lengths of runs that are looked for where they stand once on either side."""
WINDOW: Final = 64
"""How many words ahead two sequences are brought together again."""
AGREED: Final = 2
"""How many words in a row must then be equal: more would go past near differences that follow each other."""


def align(a: Words, b: Words) -> Iterator[Pair]:
    """Pairs of equal words: each position is in one at most, and of each word as many are paired as both sides have.

    What stands on one side alone is left out first. Small parts go by their longest common runs. Larger ones are taken
    apart at both ends, then at runs that stand once on either side; where there are none, by going along both and on
    past the nearest difference. O(n log n) for any n.

    >>> sorted(align("abcd", "axbd"))
    [(0, 0), (1, 2), (3, 3)]
    """
    found: list[Pair] = []
    parts = [(list(range(len(a))), list(range(len(b))), 0)]
    while parts:
        mine, its, depth = parts.pop()
        mine, its = _on_both_sides(a, b, mine, its)
        x, y = [a[i] for i in mine], [b[j] for j in its]
        if len(x) * len(y) <= SMALL:
            found += [(mine[i], its[j]) for i, j in _runs(x, y)]
            continue
        anchors = _anchors(x, y) if depth < DEEPEST else []
        found += [(mine[i], its[j]) for i, j in anchors]
        for (i, j), (k, m) in zip([(-1, -1), *anchors], [*anchors, (len(x), len(y))], strict=True):
            if anchors and k > i + 1 and m > j + 1:
                parts.append((mine[i + 1 : k], its[j + 1 : m], depth + 1))
    yield from found
    yield from _moved(a, b, found)


def _on_both_sides(a: Words, b: Words, mine: list[int], its: list[int]) -> tuple[list[int], list[int]]:
    """The positions whose words stand on the other side too."""
    known, others = {a[i] for i in mine}, {b[j] for j in its}
    return [i for i in mine if a[i] in others], [j for j in its if b[j] in known]


def _ends(a: Words, b: Words) -> list[Pair]:
    """What both begin with, and what both end with."""
    shorter = min(len(a), len(b))
    start = next((i for i in range(shorter) if a[i] != b[i]), shorter)
    end = next((i for i in range(shorter - start) if a[-1 - i] != b[-1 - i]), shorter - start)
    return [(i, i) for i in range(start)] + [(len(a) - i, len(b) - i) for i in range(end, 0, -1)]


def _runs(a: Words, b: Words) -> Iterator[Pair]:
    for i, j, size in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
        yield from ((i + k, j + k) for k in range(size))


def _anchors(a: Words, b: Words) -> list[Pair]:
    if ends := _ends(a, b):
        return ends
    for size in CONTEXTS:
        if pairs := _in_order(_once(_slices(a, size), _slices(b, size))):
            return pairs
    return _along(a, b) or _in_order(_numbered(a, b))


def _slices(words: Words, size: int) -> list[Hashable]:
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


def _once(a: Words, b: Words) -> list[Pair]:
    """Words that stand once on either side, in the order of the first."""
    mine, its = Counter(a), Counter(b)
    where = {word: j for j, word in enumerate(b) if its[word] == 1}
    return [(i, where[word]) for i, word in enumerate(a) if mine[word] == 1 and word in where]


def _numbered(a: Words, b: Words) -> list[Pair]:
    """The n-th of each word on both sides, in the order of the first."""
    where: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for j, word in enumerate(b):
        where[word].append(j)
    return [(i, where[word].popleft()) for i, word in enumerate(a) if where[word]]


def _in_order(pairs: Sequence[Pair]) -> list[Pair]:
    """The most of the pairs, which ascend on the first side, that ascend on the other side too.

    >>> _in_order([(0, 3), (1, 0), (2, 1), (3, 5)])
    [(1, 0), (2, 1), (3, 5)]
    """
    lasts: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        length = bisect_left(lasts, j)
        before.append(ends[length - 1] if length else -1)
        lasts[length : length + 1], ends[length : length + 1] = [j], [number]
    chain = []
    number = ends[-1] if ends else -1
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _along(a: Words, b: Words) -> list[Pair]:
    """Pairs met by going along both, each time on past the nearest difference, as far as that is to be seen."""
    pairs: list[Pair] = []
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
            continue
        skipped = _nearest(a[i : i + WINDOW], b[j : j + WINDOW])
        if skipped is None:
            break
        i, j = i + skipped[0], j + skipped[1]
    return pairs


def _nearest(a: Words, b: Words) -> Pair | None:
    """The positions, nearest to both beginnings, from which AGREED words are equal."""
    where: dict[Hashable, int] = {}
    for j, run in enumerate(_slices(b, AGREED)):
        where.setdefault(run, j)
    both = ((i, where[run]) for i, run in enumerate(_slices(a, AGREED)) if run in where)
    return min(both, key=lambda pair: (sum(pair), pair), default=None)


def _moved(a: Words, b: Words, found: Sequence[Pair]) -> Iterator[Pair]:
    """Words left over on both sides: those that are alike only changed places, in reading order."""
    old, new = {i for i, _ in found}, {j for _, j in found}
    left: defaultdict[Hashable, deque[int]] = defaultdict(deque)
    for i, word in enumerate(a):
        if i not in old:
            left[word].append(i)
    for j, word in enumerate(b):
        if j not in new and left[word]:
            yield left[word].popleft(), j
