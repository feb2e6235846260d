"""Regions of operations that run wide: what an operation is and yields, and how far a wide value spreads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Final

from analyzer.ir.blame import roles
from analyzer.ir.dtypes import is_float, width
from analyzer.ir.graph import CAST, UPDATED, Edge, Node, Ref

if TYPE_CHECKING:  # propagate stands on torch; a rule only reads what it made
    from analyzer.ir.flow import Flow

VIEWS: Final = frozenset((
    "_reshape_alias", "_unsafe_view", "alias", "chunk", "clone", "contiguous", "detach", "expand", "flatten",
    "lift_fresh", "narrow", "permute", "reshape", "select", "slice", "split", "split_with_sizes", "squeeze",
    "swapaxes", "t", "transpose", "unbind", "unflatten", "unfold", "unsqueeze", "view", "quantised.dequantize.default",
))  # fmt: skip
"""Operations that hand values on without computing any; a stored weight that is unpacked is no result either."""
CASTS: Final = VIEWS | {"_to_copy"}
"""Those, and casts."""
PRODUCTS: Final = frozenset((
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu", "addbmm", "addmm", "addmv", "baddbmm", "bmm", "convolution", "dot",
    "_grouped_mm", "einsum", "linear", "matmul", "mm", "mv", "scaled_dot_product_attention",
))  # fmt: skip
"""Matrix products, convolutions and attention: where running wide costs most."""


@dataclass(slots=True, eq=False)
class Region:
    """The operations that run in dtype `wide` only because of `starts`, and how their values leave."""

    wide: str
    starts: list[Node]
    nodes: list[Node] = field(default_factory=list)
    open: bool = False
    """Some value leaves without a cast: to the model's outputs or into something that is wide anyway."""
    refused: bool = False
    """Some value runs into a refused call, so that an error covers it."""
    results: list[Ref] = field(default_factory=list)
    """The outputs of the model that come wide out of it."""

    @property
    def computing(self) -> list[Node]:
        """The operations that compute, views left out."""
        return [node for node in self.nodes if base(node) not in VIEWS and node.op != UPDATED]

    @property
    def products(self) -> list[Node]:
        """Those of them that are matrix products, convolutions or attention."""
        return [node for node in self.computing if base(node) in PRODUCTS]

    @property
    def strays(self) -> bool:
        """Whether something outside the house of the first start computes wide."""
        home = self.starts[0].module
        return any(not _at_home(node.module, home) for node in self.computing)

    def bytes(self, flow: Flow, narrow: str) -> int:
        """What the wide results take more than they would in `narrow`."""
        extra = width(self.wide) - width(narrow)
        return sum(
            prod(spec.shape) * extra
            for node in self.computing
            for spec, dtype in zip(node.outputs, flow.dtypes[node.id], strict=True)
            if dtype == self.wide
        )


def spread(flow: Flow, starts: Callable[[Node], bool], *, alone: bool = True) -> list[Region]:
    """The regions that grow from the operations that `starts` names, in one pass in reading order.

    A reader joins if its result has the region's dtype; with `alone`, only if no other operand of that dtype
    would have made it so anyway: the stream of a model, not a smaller operand such as the scores of its experts, which
    makes it wide once more. Regions that meet become one.
    """
    member: dict[str, Region] = {}
    regions: list[Region] = []
    for node in flow.graph.ops():
        if node.phase:
            continue  # autograd gives each gradient the dtype of its tensor: what is wide was judged in the forward
        gives, operands = yields(flow, node), floats(flow, node)
        inside = [*_reached(flow, operands, member), *_reached(flow, _followed(flow, node), member)]
        if flow.refused(node.id):
            _refuse(inside)
            continue
        joined = list(dict.fromkeys(region for region in inside if region.wide == gives))
        others = _outside(flow, operands, gives, member) if joined else []
        meets = alone and bool(others)
        if meets and not _is_promoted_again(flow, node, others):
            _open(joined)
            continue
        start = meets or starts(node)
        if not joined and not start:
            continue
        region = _merge(joined, gives, regions, member)
        region.nodes.append(node)
        region.starts += [node] if start else []
        member[node.id] = region
    _leave(flow, member)
    return regions


def _leave(flow: Flow, member: dict[str, Region]) -> None:
    """Note which results of the model come wide out of a region."""
    for ref in flow.graph.outputs:
        for last in _reached(flow, [ref], member):
            last.open = True
            last.results.append(ref)


def _outside(flow: Flow, operands: Iterable[Ref], wide: str, member: dict[str, Region]) -> list[Ref]:
    """The operands that are as wide, but come out of no region."""
    return [ref for ref in operands if flow.dtype(ref) == wide and ref.id not in member]


def _refuse(regions: Iterable[Region]) -> None:
    for region in regions:
        region.refused = True


def _open(regions: Iterable[Region]) -> None:
    for region in regions:
        region.open = True


def base(node: Node) -> str:
    """The bare name of an operation: "add" of "aten.add.Tensor"."""
    return node.op.split(".")[1] if node.op.startswith("aten.") else node.op


def unviewed(flow: Flow, node: Node, views: frozenset[str] = VIEWS) -> Node:
    """What a value was before it was only looked at in another shape."""
    while node.is_op and base(node) in views and node.operands():
        node = flow.graph[node.operands()[0].id]
    return node


def readers(flow: Flow, node: Node, through: frozenset[str] = VIEWS) -> Iterator[Edge]:
    """The edges to what reads a value, in whatever shape it is looked at: what it goes `through` is no reader."""
    waiting, seen = [node.id], {node.id}
    while waiting:
        for edge in flow.graph.readers(waiting.pop()):
            if roles.base(flow.graph[edge.reader]) not in through:
                yield edge
            elif edge.reader not in seen:
                seen.add(edge.reader)
                waiting.append(edge.reader)


def computes(node: Node) -> bool:
    """Whether an operation makes a new value: no cast, no view, no write in place."""
    name = base(node)
    return node.op not in (CAST, UPDATED) and name not in VIEWS and (not name.endswith("_") or name.endswith("__"))


def floats(flow: Flow, node: Node) -> list[Ref]:
    """The float operands with at least one dimension; those of none do not take part in promotion."""
    return [ref for ref in node.operands() if flow.graph.spec(ref).shape and is_float(flow.dtype(ref))]


def yields(flow: Flow, node: Node) -> str:
    """The float dtype of an operation's result; "" if it gives none."""
    return next((dtype for dtype in flow.dtypes[node.id] if is_float(dtype)), "")


def _is_promoted_again(flow: Flow, node: Node, others: Iterable[Ref]) -> bool:
    """Whether what makes a wide result wide as well is spread over it, as one score is over a hidden state."""
    size = prod(node.outputs[0].shape)
    return base(node) not in PRODUCTS and all(prod(flow.graph.spec(ref).shape) < size for ref in others)


def _followed(flow: Flow, node: Node) -> list[Ref]:
    """The tensor that the code took the dtype of a cast from: `w.to(x.dtype)` runs wide where x does."""
    model = flow.graph.follows.get(Ref(node.id)) if node.op == CAST else None
    return [model] if model else []


def _reached(flow: Flow, operands: Iterable[Ref], member: dict[str, Region]) -> list[Region]:
    """For every operand that comes wide out of a region, that region."""
    return [r for ref in operands if (r := member.get(ref.id)) and r.wide == flow.dtype(ref)]


def _merge(joined: list[Region], wide: str, regions: list[Region], member: dict[str, Region]) -> Region:
    """Those that meet at an operation as one, or a new one where none does."""
    if not joined:
        regions.append(Region(wide, []))
        return regions[-1]
    first, *others = sorted(joined, key=regions.index) if len(joined) > 1 else joined
    for other in others:
        first.starts += other.starts
        first.nodes += other.nodes
        first.open |= other.open
        first.refused |= other.refused
        member.update((node.id, first) for node in other.nodes)
        regions.remove(other)
    return first


def _at_home(module: str, home: str) -> bool:
    parent = home.rpartition(".")[0]
    if module == home or (home and module.startswith(f"{home}.")):
        return True
    return bool(parent) and (module == parent or module.rpartition(".")[0] == parent)
