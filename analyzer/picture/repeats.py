"""Which runs of a module's code repeat an earlier one: the same lines on the same dtypes again, drawn once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from analyzer.ir.graph import Ref, above
from analyzer.picture.reading import Reading


def repeats(flow: Reading, aside: frozenset[str]) -> tuple[dict[str, str], dict[str, int]]:
    """Map each operation of a repeated run to that of the first; and count the runs of each such module.

    Shapes may differ from run to run. O(operations x depth).
    """
    twins: dict[str, str] = {}
    times: dict[str, int] = {}
    symbols: dict[object, int] = {}
    inside: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for node in flow.graph.ops():
        if node.id in aside:
            continue
        outputs = tuple(flow.dtype(Ref(node.id, i)) for i in range(len(node.outputs)))
        facts = (
            node.module,
            node.op,
            node.place if node.place.file else node.id,
            flow.reads(node.id),
            outputs,
            bool(flow.refused(node.id)),
        )
        symbol = symbols.setdefault(facts, len(symbols))
        for module in above(node.module):
            inside[module].append((node.id, symbol))
    for module in sorted(inside, key=lambda path: (path.count(".") + bool(path), path)):  # the outer ones first
        ops = [(node_id, symbol) for node_id, symbol in inside[module] if node_id not in twins]
        length = period([symbol for _, symbol in ops])
        if length < len(ops):
            times[module] = len(ops) // length
            twins.update({node_id: ops[i % length][0] for i, (node_id, _) in enumerate(ops) if i >= length})
    return twins, times


def period(symbols: Sequence[int]) -> int:
    """Length of the shortest part that gives the whole when it is said again and again.

    >>> period([1, 2, 1, 2, 1, 2]), period([1, 2, 1])
    (2, 3)
    """
    if symbols and symbols.count(symbols[0]) == 1:
        return len(symbols)
    borders = [0] * len(symbols)
    for i in range(1, len(symbols)):
        k = borders[i - 1]
        while k and symbols[i] != symbols[k]:
            k = borders[k - 1]
        borders[i] = k + (symbols[i] == symbols[k])
    length = len(symbols) - (borders[-1] if borders else 0)
    return length if length and len(symbols) % length == 0 else len(symbols)
