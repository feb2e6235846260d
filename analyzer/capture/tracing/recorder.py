"""Appends what a capture sees to the graph, in order, under names that come from the operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch

from analyzer.capture.not_traced import NotTraced
from analyzer.capture.tensor import Abstract, Layout, bounds_of, dtype_name, spec_of
from analyzer.capture.tracing.memories import Memories
from analyzer.capture.tracing.site import ACCEPTED, Refusal, Site
from analyzer.capture.wrapper_subclasses import wraps
from analyzer.ir.graph import NOWHERE, UPDATED, Arg, DtypeArg, ModelGraph, Node, Place, Ref, Spec
from analyzer.ir.literal_types import Inserter, KeptCast, StoredKind
from analyzer.ir.reason import UNKNOWN, Reason


class Recorder:
    """Makes nodes, and abstract tensors for what the model holds or is given."""

    def __init__(self) -> None:
        self.graph = ModelGraph()
        self.layouts: dict[Ref, Layout] = {}
        self._memories = Memories()
        self._count: Counter[str] = Counter()
        self._muted = False
        self.has_sparse = False
        self.kept_cast: KeptCast = ""
        """What is wrong with a kept cast that the operations of a call are given."""
        self._uncovered: Callable[[Site], str] | None = None
        """Tells by which method an operation came to run outside of the plan's autocast."""

    def name(self, base: str) -> str:
        """A fresh node id: `addmm`, `addmm_1`, ..."""
        n = self._count[base]
        self._count[base] += 1
        return f"{base}_{n}" if n else base

    def op(
        self, base: str, op: str, args: Any, kwargs: dict[str, Any], outputs: tuple[Spec, ...], site: Site,
        refusal: Refusal = ACCEPTED, inserted: Inserter = "",
    ) -> str:  # fmt: skip
        """Append an operation; its id is returned."""
        if self._muted:
            return ""
        taken = tuple([self.arg(a) for a in args])
        named = tuple([(k, self.arg(v)) for k, v in kwargs.items()]) if kwargs else ()
        node_id = self.name(base)
        self.graph.add(
            Node(
                node_id, op, taken, named, outputs, "", site.module, site.call, site.place, refusal.refused,
                refusal.repair, inserted=inserted, script=refusal.script, callers=refusal.callers, phase=site.phase,
                step=site.step, odd=refusal.odd, kept_cast=self.kept_cast,
                uncovered=self._uncovered(site) if self._uncovered else "",
            )
        )  # fmt: skip
        return node_id

    def stored(
        self, kind: StoredKind, name: str, tensor: torch.Tensor, *, known: bool, place: Place = NOWHERE,
        reason: Reason = UNKNOWN, number: float | None = None,
    ) -> Abstract:  # fmt: skip
        """Append a parameter, buffer, input or constant, and give the tensor that stands for it.

        `number` is what the code says of a tensor that is made of it.
        """
        if wraps(type(tensor)):
            raise NotTraced(f"a tensor of the class {type(tensor).__name__} is not traced", "use plain tensors")
        node_id = self.name(_identifier(name) if name else kind)
        spec = spec_of(tensor)
        shown = name or node_id
        real = self._memories.value(tensor) if known else None
        bounds = bounds_of(real) if kind in ("buffer", "constant") and number is None else None
        bounds = bounds if number is None else (number, number)
        self.graph.add(Node(node_id, kind, outputs=(spec,), name=shown, place=place, reason=reason, bounds=bounds))
        made = Abstract.make(spec, strides(tensor), Ref(node_id), self._memories.cell(tensor, real), real)
        if kind == "parameter":
            made.held = made._is_param = True
        if tensor.layout != torch.strided:
            made.sparse, self.has_sparse = tensor.detach(), True
        self.lie(node_id, [made])
        made.requires_grad_(tensor.requires_grad)  # matmul takes another way for an operand that needs a gradient
        return made

    def arg(self, arg: Any) -> Arg:
        """An argument as the graph keeps it: tensors by reference, dtypes by name, no devices or layouts.

        Hot: 0.3 us for each of 1,300 arguments of 8 Llama layers (55 ms); `walk.changed` would add 9 % to a capture.
        """
        kind = type(arg)
        if kind is Abstract:
            return self.read(arg)
        if kind is list or kind is tuple:
            return tuple([self.arg(item) for item in arg])
        if kind is torch.dtype:
            return DtypeArg(dtype_name(arg))
        if kind is int or kind is float or kind is bool or kind is str:
            return arg  # type: ignore[no-any-return]
        return tuple([self.arg(item) for item in arg]) if isinstance(arg, (list, tuple)) else None

    def read(self, tensor: Abstract) -> Ref:
        """The node that stands for a tensor now: a new one if another view of its memory was written since."""
        cell = tensor.cell
        if tensor.seen != cell.version and cell.writer is not None:
            node_id, write = self.name("updated"), self.graph[cell.writer.id]
            operands, outputs = (tensor.ref, cell.writer), (spec_of(tensor),)
            self.graph.add(
                Node(node_id, UPDATED, operands, (), outputs, module=write.module, place=write.place, step=write.step)
            )
            tensor.ref, tensor.seen = Ref(node_id), cell.version
            self.lie(node_id, [tensor])
        return tensor.ref

    def lie(self, node_id: str, outputs: Iterable[Abstract]) -> None:
        """Note how the outputs of a node lie in memory, and in which."""
        if node_id in self.graph.nodes:  # a constant is kept also while others are not
            for index, tensor in enumerate(outputs):
                self.layouts[Ref(node_id, index)] = Layout(tensor.stride(), tensor.cell)

    def wrote(self, tensor: Abstract, writer: Ref) -> None:
        """Note that a node wrote into a tensor's memory."""
        if self._muted:
            return
        cell = tensor.cell
        cell.version += 1
        cell.writer = writer
        tensor.ref, tensor.seen = writer, cell.version

    def formed(self, tensor: Abstract, node: Ref) -> None:
        """Note that a node gave a tensor another form, and left its memory and all other views of it alone."""
        if not self._muted:
            tensor.ref = node

    @property
    def is_muted(self) -> bool:
        """Whether operations happen without nodes."""
        return self._muted

    @contextmanager
    def asking(self, uncovered: Callable[[Site], str]) -> Iterator[None]:
        """While this lasts, operations say by what they came to run outside of a plan's autocast, if they do."""
        self._uncovered = uncovered
        try:
            yield
        finally:
            self._uncovered = None

    @contextmanager
    def given(self, kept_cast: KeptCast) -> Iterator[None]:
        """While this lasts, operations belong to a call that autocast gave such a cast."""
        outer, self.kept_cast = self.kept_cast, kept_cast or self.kept_cast
        try:
            yield
        finally:
            self.kept_cast = outer

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Let operations happen without nodes: the repaired run of a call that is one node itself."""
        outer, self._muted = self._muted, True
        try:
            yield
        finally:
            self._muted = outer


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_." else "_" for c in name)


def strides(tensor: torch.Tensor) -> tuple[int, ...]:
    """A tensor's strides in elements; as if it were dense where its layout has none."""
    if tensor.layout == torch.strided:
        return tuple(tensor.stride())
    return tuple([prod(tensor.shape[axis + 1 :]) for axis in range(tensor.dim())])
