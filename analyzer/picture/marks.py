"""What a picture marks: the nodes and edges that differ from another report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from analyzer.ir.graph import Node


@dataclass(frozen=True, slots=True)
class Marks:
    """What is said of nodes, by id, and of edges, by the ids of both ends: "new", "was f32"."""

    nodes: Mapping[str, str] = field(default_factory=dict)
    edges: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def drawn(self, twins: Mapping[str, str], most: int) -> list[str]:
        """Ids of the nodes that get a box of their own, copies as their originals: all marked ones if they are few.

        Of more, those that a change begins at: no marked edge leads to them.
        """
        ends = dict.fromkeys(twins[reader] for _, reader in self.edges if reader in twins)
        nodes = dict.fromkeys(twins[one] for one in self.nodes if one in twins)
        every = list(nodes | ends)
        return every if len(every) <= most else [one for one in nodes if one not in ends][:most]

    def of(self, nodes: Sequence[Node]) -> str:
        """What a box that stands for these nodes says."""
        return told((self.nodes[node.id] for node in nodes if node.id in self.nodes), len(nodes))


def told(words: Iterable[str], among: int) -> str:
    """Marks of several things as one.

    >>> told(["new", "new"], 2), told(["new"], 3), told(["new", "was f32"], 3), told([], 3)
    ('new', 'new (1 of 3)', '2 of 3 differ', '')
    """
    counts = Counter(words)
    if not counts:
        return ""
    if len(counts) > 1:
        return f"{sum(counts.values())} of {among} differ"
    ((word, count),) = counts.items()
    return word if count == among else f"{word} ({count} of {among})"


UNMARKED = Marks()
"""Nothing differs, or nothing is compared."""
