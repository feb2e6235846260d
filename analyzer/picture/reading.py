"""What a view needs to know of a flow, and where in the model a node is at home."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from analyzer.ir.graph import ModelGraph, Node, Ref


class Reading(Protocol):
    """What a view needs of a flow."""

    @property
    def graph(self) -> ModelGraph:
        """The graph that is read."""

    def dtype(self, ref: Ref) -> str:
        """The dtype of an operand."""

    def reads(self, node_id: str) -> tuple[str, ...]:
        """The dtypes of the operands of a node."""

    def refused(self, node_id: str) -> str:
        """The kernel's words, or ""."""


def home(node: Node) -> str:
    """The module path that a node belongs to; a stored tensor belongs where its name says."""
    return node.module if node.is_op else node.name.rpartition(".")[0]


def aside(graph: ModelGraph) -> Iterator[str]:
    """Nodes of no forward pass, or of a later one than the first: they are drawn only for what was found in them."""
    first = ""
    for node in graph:
        first = first or node.step
        if node.phase or node.step != first:
            yield node.id
