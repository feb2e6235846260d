"""The model graph: operations and tensors as nodes, one edge per operand; a networkx multigraph for who asks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Final, TypeAlias, Union

from analyzer.ir.dtypes import is_float, width
from analyzer.ir.literal_types import STORED, Inserter, KeptCast, Phase, StoredKind
from analyzer.ir.reason import UNKNOWN, Reason

if TYPE_CHECKING:  # its import takes a tenth of a second, and drawing does without
    import networkx

CAST = "aten._to_copy.default"
"""The operation that `x.to(dtype)`, `x.float()` and autocast become."""
UPDATED = "memory.updated"
"""Operation of a node that stands for a tensor after a write through one of its views: (tensor, the write)."""

STOPPED = "run.stopped"
"""Operation of the last node of a run that ended early: it stands for the call that stopped, or reads what came last.

Its `reason` is the error in one line; it gives nothing.
"""
CALLED = "torch.call."
"""Prefix of the operation of a refused call that never reached a kernel, on the operands that a person passed."""
CHECK = f"{CALLED}check"
"""Operation of a node that stands for code which looked at a tensor and raised for its dtype."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What is known of one tensor: dtype name and shape (elements per dimension)."""

    dtype: str
    shape: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of the tensor in bytes."""
        return prod(self.shape) * width(self.dtype)


@dataclass(frozen=True, slots=True)
class Ref:
    """An operand: output number `index` of node `id`."""

    id: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class DtypeArg:
    """A dtype given as an argument, as in `x.to(torch.float32)`."""

    name: str


Arg: TypeAlias = Union[Ref, Spec, DtypeArg, int, float, complex, bool, str, "tuple[Arg, ...]", None]
"""An argument of an operation. `Spec` stands for a tensor only while the oracle is asked."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the source a node comes from; `file` is "" when it is not known."""

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else ""


@dataclass(frozen=True, slots=True)
class Left:
    """A setting of the whole process that the model's code changed and did not put back."""

    setting: str
    """As people read it: `default dtype`."""
    before: str
    after: str
    place: Place = Place()
    """The line that set it, where that is known."""
    by_loading: bool = False
    """Whether it was importing or building the model, and no call of it."""


_STORED: Final[Mapping[str, StoredKind]] = {kind: kind for kind in STORED}
NOWHERE = Place()
"""The place of a node that no source line made."""


@dataclass(frozen=True, slots=True)
class Script:
    """A refused call written again in plain torch, line by line; `doubt` says why it is not known to be refused."""

    lines: tuple[str, ...] = ()
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation (`op` is an aten overload, "aten.addmm.default") or one stored tensor (`op` in STORED)."""

    id: str
    op: str
    args: tuple[Arg, ...] = ()
    kwargs: tuple[tuple[str, Arg], ...] = ()
    outputs: tuple[Spec, ...] = ()
    name: str = ""
    """Full name of a parameter, buffer or input: `resampler.pos_embed`."""
    module: str = ""
    """Path of the module whose code made the call; "" is the model itself."""
    call: str = ""
    """The torch function a person wrote: `multi_head_attention_forward`."""
    place: Place = NOWHERE
    refused: str = ""
    """The kernel's words when it would not take these dtypes; the node then shows the repaired call."""
    repair: str = ""
    """The dtype that the repair gave to the odd operands of a refused call, or of a step inside one."""
    reason: Reason = UNKNOWN
    """Why a stored tensor has its dtype; why a run stopped."""
    inserted: Inserter = ""
    """Who made the call if nobody wrote it: "autocast" for its casts, "accelerate" for those of a model's outputs."""
    script: Script | None = field(default=None, compare=False)
    """The refused call, to be run alone."""
    callers: tuple[Place, ...] = field(default=(), compare=False)
    """Lines of the model's own folder that a refused call runs under, nearest first."""
    phase: Phase = ""
    """"backward" for what `backward()` runs, "recompute" for what gradient checkpointing then runs once more.

    What autograd runs has the module, call and place of the forward call; Python code in a backward, its own place.
    """
    step: str = ""
    """Which forward pass of several it belongs to: "prefill", "decode"; "" where there is but one."""
    odd: tuple[int, ...] = ()
    """Positions of the operands that the repair casts; empty where it is every float."""
    kept_cast: KeptCast = ""
    """Set where autocast gave the call a cast that it had kept and that is not what a new one would be."""
    uncovered: str = ""
    """The method through which the call ran outside of a plan's autocast, which covers forward alone."""
    bounds: tuple[float, float] | None = field(default=None, compare=False)
    """The least and the greatest value of a stored tensor, where they are known."""

    _operands: tuple[Ref, ...] | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def dtype(self) -> str:
        """The dtype of the first output; "" when there is none."""
        return self.outputs[0].dtype if self.outputs else ""

    @property
    def is_op(self) -> bool:
        """Whether this is an operation rather than a stored tensor."""
        return self.op not in STORED

    @property
    def stored_as(self) -> StoredKind | None:
        """What kind of stored tensor this is; None for an operation."""
        return _STORED.get(self.op)

    @property
    def is_matrix(self) -> bool:
        """Whether this is a float parameter of two or more dimensions: those say which dtype a module works in."""
        return self.op == "parameter" and len(self.outputs[0].shape) > 1 and is_float(self.dtype)

    def operands(self) -> tuple[Ref, ...]:
        """Every tensor operand in order; an edge's key is its index here."""
        if self._operands is None:
            found = tuple(refs((self.args, tuple(value for _, value in self.kwargs))))
            object.__setattr__(self, "_operands", found)  # the arguments never change, and a trace asks ten times
            return found
        return self._operands


def above(module: str) -> Iterator[str]:
    """The path of a module, of the one that holds it, and so on up to the model, which is ""."""
    while module:
        yield module
        module = module.rpartition(".")[0]
    yield ""


def in_any_layer(name: str) -> str:
    """A tensor's name, the same for all layers of a stack.

    >>> in_any_layer("layers.3.mlp.weight")
    'layers.*.mlp.weight'
    """
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def causes(refused: Iterable[Node]) -> list[Node]:
    """Of refused calls, those that are none in the backward or the recomputation of another."""
    calls = list(refused)
    forward = {(node.module, node.place) for node in calls if not node.phase}
    return [node for node in calls if not node.phase or (node.module, node.place) not in forward]


def refs(arg: Arg) -> Iterator[Ref]:
    """Every operand inside an argument, depth first.

    Hot: 0.9 us for each of 700 nodes of 8 Llama layers, in a capture (55 ms) and again in every reader of a graph;
    `walk.leaves` would add 0.5 % to a capture.
    """
    if type(arg) is Ref:
        yield arg
    elif type(arg) is tuple:
        for item in arg:
            yield from refs(item)


@dataclass(frozen=True, slots=True)
class Edge:
    """One operand: which output it reads, who reads it, and at which position."""

    source: Ref
    reader: str
    position: int


@dataclass(frozen=True)  # no slots: its edges and networkx's graph are made when they are first asked for
class ModelGraph:
    """Nodes in reading order, and the edges between them."""

    nodes: dict[str, Node] = field(default_factory=dict)
    outputs: list[Ref] = field(default_factory=list)
    """The tensors that the run returned, in order."""
    follows: dict[Ref, Ref] = field(default_factory=dict)
    """Tensors whose dtype the code took from another tensor (`x.to(y.dtype)`), and that other one."""

    left: list[Left] = field(default_factory=list)
    """What the run left changed for everything that runs after it."""

    _unindexed: list[Node] = field(default_factory=list, init=False, repr=False)
    """Nodes whose operands `_edges` does not hold yet."""
    _edges: defaultdict[str, list[Edge]] = field(default_factory=lambda: defaultdict(list), init=False, repr=False)
    """Node id -> the edges that leave it."""

    def add(self, node: Node) -> None:
        """Append a node; its operands must have been added before. O(1)."""
        self.nodes[node.id] = node
        self._unindexed.append(node)
        self.__dict__.pop("nx", None)

    def __getitem__(self, node_id: str) -> Node:
        return self.nodes[node_id]

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self.nodes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelGraph) and (self.nodes, self.outputs) == (other.nodes, other.outputs)

    __hash__ = None  # type: ignore[assignment]

    def spec(self, ref: Ref) -> Spec:
        """Dtype and shape of an operand."""
        return self.nodes[ref.id].outputs[ref.index]

    def readers(self, node_id: str) -> Iterator[Edge]:
        """Every edge that leaves a node, in reading order of the readers."""
        for node in self._unindexed:
            for position, ref in enumerate(node.operands()):
                self._edges[ref.id].append(Edge(ref, node.id, position))
        self._unindexed.clear()
        yield from self._edges.get(node_id, ())

    @cached_property
    def nx(self) -> networkx.MultiDiGraph:
        """The whole graph for networkx, whose edge key is the argument position; made when it is first asked for."""
        from networkx import MultiDiGraph

        made = MultiDiGraph()
        made.add_nodes_from(self.nodes)
        for node in self:
            made.add_edges_from((ref.id, node.id, at, {"index": ref.index}) for at, ref in enumerate(node.operands()))
        return made

    def ops(self) -> Iterator[Node]:
        """The operations that ran, in reading order."""
        return (node for node in self if node.is_op and node.op != STOPPED)

    def reaches_as_far_as(self, other: ModelGraph) -> bool:
        """Whether this run of a model came to its end, or stopped where that other run of it did, or after it."""
        mine, its = self.stop, other.stop
        if mine is None or its is None:
            return mine is None
        return (mine.module, mine.place) == (its.module, its.place) or len(self) > len(other)

    @property
    def steps(self) -> dict[str, int]:
        """The forward passes by name, in order, and how many operations each has; empty where there is but one."""
        return dict(Counter(node.step for node in self.ops() if node.step))

    @property
    def stop(self) -> Node | None:
        """The node that says where the run ended early, if it did."""
        last = next(reversed(self.nodes.values()), None)
        return last if last is not None and last.op == STOPPED else None

    def stored(self) -> Iterator[Node]:
        """Parameters, buffers, inputs and constants, in reading order."""
        return (node for node in self if not node.is_op)
