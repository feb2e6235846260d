"""Carries dtypes and their origins along the graph under a plan: one pass, asking the oracle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from analyzer import oracle
from analyzer.blame import Blame
from analyzer.dtypes import is_float
from analyzer.findings import Origin
from analyzer.graph import CALLED, STOPPED, UPDATED, Arg, ModelGraph, Node, Ref, Spec, above
from analyzer.inventory import EMPTY, Inventory
from analyzer.plan import Plan


@dataclass(frozen=True)
class Flow:
    """One reading of the graph: the dtype on every edge, what is refused, and where each dtype comes from."""

    graph: ModelGraph
    plan: Plan
    dtypes: Mapping[str, tuple[str, ...]]
    """Node id -> the dtypes of its outputs."""
    refusals: Mapping[str, str]
    """Node id -> the kernel's words, for refused calls."""
    said_by: Mapping[str, str] = field(default_factory=dict)
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

    def asked(self, node_id: str) -> str:
        """Who refused a call: "cpu", another device with its source, or "as on CPU"."""
        return self.said_by.get(node_id) or ("cpu" if self.plan.device == "cpu" else oracle.AS_ON_CPU)

    def origins(self, ref: Ref) -> tuple[Origin, ...]:
        """The nearest origins that gave an operand its dtype, through every operation that only handed it on.

        Where the dtype was won by a promotion on the way, the blame is on the promotion's wide operand alone.
        """
        return self._blame.origins(ref)

    @cached_property
    def _blame(self) -> Blame:
        return Blame(self.graph, self.dtypes)


def propagate(
    graph: ModelGraph, plan: Plan, changed: Mapping[str, str] | None = None, inventory: Inventory = EMPTY
) -> Flow:
    """Read the graph with the oracle; `changed` gives stored tensors (by node id) another dtype: "what if".

    One pass in reading order, which is topological; the transfer function is the real kernel's answer.
    """
    changed = changed or {}
    dtypes: dict[str, tuple[str, ...]] = {}
    refusals: dict[str, str] = {}
    said_by: dict[str, str] = {}
    for node in graph:
        if not node.is_op:
            dtypes[node.id] = (changed.get(node.id, node.dtype),)
            continue
        answer = _answer(graph, node, dtypes, plan.device)
        if isinstance(answer, oracle.Refused) and answer.uniform and not node.refused:
            answer = _as_captured(graph, node, dtypes, answer)
        if isinstance(answer, oracle.Refused) and not (answer.gap and plan.device != "cpu"):
            refusals[node.id] = node.refused or answer.message
            if not node.op.startswith(CALLED):  # the words of such a call were asked of the CPU alone
                said_by[node.id] = answer.asked
        elif node.refused and not _differs(graph, node, dtypes):
            refusals[node.id] = node.refused
        if isinstance(answer, oracle.Dtypes) and node.id not in refusals and len(answer.names) == len(node.outputs):
            dtypes[node.id] = answer.names
        else:
            dtypes[node.id] = tuple(s.dtype for s in node.outputs)
    return Flow(graph, plan, dtypes, refusals, said_by, inventory)


def _answer(graph: ModelGraph, node: Node, dtypes: Mapping[str, tuple[str, ...]], device: str) -> oracle.Answer:
    if node.op == STOPPED or not node.operands():
        return oracle.Dtypes(tuple(s.dtype for s in node.outputs))
    if node.op.startswith(CALLED):
        return _called(graph, node, dtypes)
    if node.op == UPDATED:
        first = node.operands()[0]
        return oracle.Dtypes((dtypes[first.id][first.index],))
    args: Any = _filled(node.args, graph, dtypes)
    kwargs: Any = _filled(node.kwargs, graph, dtypes)
    return oracle.ask(node.op, args, kwargs, device)


def _called(graph: ModelGraph, node: Node, dtypes: Mapping[str, tuple[str, ...]]) -> oracle.Answer:
    """A call that no kernel can be asked about is refused until all its operands have one dtype."""
    floats = {dtypes[ref.id][ref.index] for ref in node.operands() if is_float(dtypes[ref.id][ref.index])}
    if not node.refused or not _differs(graph, node, dtypes):
        given = oracle.Dtypes(tuple(s.dtype for s in node.outputs))
        return oracle.Refused(node.refused) if node.refused else given
    if len(floats) > 1:
        return oracle.Refused(node.refused)
    now = "".join(floats)
    return oracle.Dtypes(tuple(now if s.dtype == node.repair else s.dtype for s in node.outputs))


def _as_captured(graph: ModelGraph, node: Node, dtypes: Mapping[str, tuple[str, ...]], answer: oracle.Answer) -> Any:
    """A capture knew the layout of the operands, which the oracle does not: its verdict on the same dtypes stands."""
    return answer if _differs(graph, node, dtypes) else oracle.Dtypes(tuple(s.dtype for s in node.outputs))


def _filled(arg: Arg, graph: ModelGraph, dtypes: Mapping[str, tuple[str, ...]]) -> Arg:
    if type(arg) is Ref:
        return Spec(dtypes[arg.id][arg.index], graph.spec(arg).shape)
    if type(arg) is tuple:
        return tuple([_filled(item, graph, dtypes) for item in arg])
    return arg


def _differs(graph: ModelGraph, node: Node, dtypes: Mapping[str, tuple[str, ...]]) -> bool:
    return any(dtypes[r.id][r.index] != graph.spec(r).dtype for r in node.operands())


def disagreements(flow: Flow) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Nodes whose propagated dtypes are not the captured ones: (id, propagated, captured). Empty when all agree."""
    for node in flow.graph:
        captured = tuple(s.dtype for s in node.outputs)
        if flow.dtypes[node.id] != captured:
            yield node.id, flow.dtypes[node.id], captured
