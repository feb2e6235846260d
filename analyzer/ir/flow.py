"""One reading of a graph: the dtype on every edge, what is refused, and where each dtype comes from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from analyzer.ir.blame import Blame
from analyzer.ir.dtypes import is_float
from analyzer.ir.findings import Origin
from analyzer.ir.graph import ModelGraph, Ref, above
from analyzer.ir.inventory import EMPTY, Inventory
from analyzer.ir.plan import Plan
from analyzer.ir.values.ranges import Ranges
from analyzer.ir.witness import AS_ON_CPU, CPU, Witness


@dataclass(frozen=True)  # no slots: cached_property needs a __dict__
class Flow:
    """One reading of the graph: the dtype on every edge, what is refused, and where each dtype comes from."""

    graph: ModelGraph
    plan: Plan
    dtypes: Mapping[str, tuple[str, ...]]
    """Node id -> the dtypes of its outputs."""
    refusals: Mapping[str, str]
    """Node id -> the kernel's words, for refused calls."""
    witnesses: Mapping[str, Witness] = field(default_factory=dict)
    """Node id -> whose words they are, where it is known of the plan's device itself."""
    inventory: Inventory = EMPTY
    """What the model holds, for rules about tensors that no call reads."""

    @classmethod
    def as_captured(cls, graph: ModelGraph, plan: Plan) -> Flow:
        """The reading that the capture itself saw."""
        return cls(
            graph,
            plan,
            {node.id: tuple(s.dtype for s in node.outputs) for node in graph},
            {node.id: node.refused for node in graph if node.refused},
        )

    def dtype(self, ref: Ref) -> str:
        """The dtype of an operand under this reading."""
        return self.dtypes[ref.id][ref.index]

    def reads(self, node_id: str) -> tuple[str, ...]:
        """The dtype of each tensor operand of a node, before any repair."""
        return tuple(self.dtype(ref) for ref in self.graph[node_id].operands())

    def odd(self, node_id: str, wanted: str = "") -> tuple[Ref, ...]:
        """Operands of a refused call that have another dtype than the wanted one, or than its repair gives them.

        Floats alone count, as an index or a mask is not odd, unless the repair says which operands are.
        """
        node = self.graph[node_id]
        wanted = wanted or node.repair
        operands = node.operands()
        counted = [operands[at] for at in node.odd if at < len(operands)]
        counted = counted or [ref for ref in operands if is_float(self.dtype(ref))]
        return tuple([ref for ref in counted if wanted and self.dtype(ref) != wanted])

    def refused(self, node_id: str) -> str:
        """The kernel's words if it refuses this call, else ""."""
        return self.refusals.get(node_id, "")

    @cached_property
    def matrices(self) -> Mapping[str, frozenset[str]]:
        """Module path -> the dtypes of the matrices in it."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for node in self.graph.stored():
            if node.is_matrix:
                for path in above(node.name.rpartition(".")[0]):
                    found[path].add(self.dtypes[node.id][0])
        return {path: frozenset(dtypes) for path, dtypes in found.items()}

    def asked(self, node_id: str) -> Witness:
        """Who refused a call: the CPU, another device with its source, or the CPU in its place."""
        return self.witnesses.get(node_id) or (CPU if self.plan.device == "cpu" else AS_ON_CPU)

    def origins(self, ref: Ref) -> tuple[Origin, ...]:
        """The nearest origins that gave an operand its dtype, through every operation that only handed it on.

        Where the dtype was won by a promotion on the way, the blame is on the promotion's wide operand alone.
        """
        return self._blame.origins(ref)

    @cached_property
    def ranges(self) -> Ranges:
        """Between which numbers each tensor lies, where the code says."""
        return Ranges(self.graph, self.inventory.tokens, self.inventory.longest)

    @cached_property
    def _blame(self) -> Blame:
        return Blame(self.graph, self.dtypes)
