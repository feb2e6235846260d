"""What the rules about angles share: where a sine is taken, and what a position goes through before that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.blame.roles import base
from analyzer.ir.graph import CAST, UPDATED, Node
from analyzer.rules.regions import VIEWS

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

MULTIPLIED: Final = frozenset(("add", "bmm", "div", "einsum", "matmul", "mm", "mul", "mv", "outer", "sub"))
"""How positions and frequencies become angles; a convolution takes a filter, and a linear layer what was learned."""
_ANGLES: Final = VIEWS | MULTIPLIED | {"cat", "reciprocal", "stack", CAST, UPDATED}
HALVES: Final = ("bfloat16", "float16")


def waves(flow: Flow) -> list[Node]:
    """Every operation of the forward passes that takes a sine or cosine."""
    return [node for node in flow.graph.ops() if base(node) in ("sin", "cos", "polar") and not node.phase]


def before_wave(flow: Flow, wave: Node, seen: set[str] | None = None) -> Iterator[Node]:
    """What an angle is made of, nearest first: positions, frequencies, and what they go through; each once."""
    return _before(flow, wave, _ANGLES, seen)


def is_learned(flow: Flow, node: Node) -> bool:
    """Whether a weight has gone into a value: a sine of such a hidden state is an activation, not a position."""
    return any(one.op == "parameter" for one in _before(flow, node, None, None))


def _before(flow: Flow, node: Node, through: Iterable[str] | None, seen: set[str] | None) -> Iterator[Node]:
    """The nodes that a node reads, and those before them as long as they are among `through`, or whatever they are."""
    queue, known = [ref.id for ref in node.operands()], set() if seen is None else seen
    while queue:
        one = flow.graph[queue.pop(0)]
        if one.id in known:
            continue
        known.add(one.id)
        yield one
        if one.is_op and (through is None or base(one) in through or one.op in through):
            queue += [ref.id for ref in one.operands()]
