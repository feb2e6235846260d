"""Appends what a capture sees to the graph, in order, under names that come from the operations."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import torch

from analyzer.capture.abstract import Abstract, Cell, dtype_name, small, spec_of
from analyzer.graph import NOWHERE, UPDATED, Arg, DtypeArg, ModelGraph, Node, Place, Ref, Spec


class Recorder:
    """Makes nodes, and abstract tensors for what the model holds or is given."""

    def __init__(self) -> None:
        self.graph = ModelGraph()
        self._count: Counter[str] = Counter()

    def name(self, base: str) -> str:
        """A fresh node id: `addmm`, `addmm_1`, ..."""
        n = self._count[base]
        self._count[base] += 1
        return f"{base}_{n}" if n else base

    def op(self, base: str, op: str, args: Any, kwargs: dict[str, Any], outputs: tuple[Spec, ...], **facts: Any) -> str:
        """Append an operation; its id is returned."""
        taken = tuple([self.arg(a) for a in args])
        named = tuple([(k, self.arg(v)) for k, v in kwargs.items()]) if kwargs else ()
        node_id = self.name(base)
        self.graph.add(Node(node_id, op, taken, named, outputs, **facts))
        return node_id

    def stored(
        self, kind: str, name: str, tensor: torch.Tensor, *, known: bool, place: Place = NOWHERE, reason: str = ""
    ) -> Abstract:
        """Append a parameter, buffer, input or constant, and give the tensor that stands for it."""
        node_id = self.name(_identifier(name) if name else kind)
        spec = spec_of(tensor)
        shown = name or node_id
        self.graph.add(Node(node_id, kind, outputs=(spec,), name=shown, place=place, reason=reason))
        real = tensor.detach().clone() if known and small(tensor) and tensor.device.type == "cpu" else None
        made = Abstract.make(spec, _stride(tensor), Ref(node_id), Cell(known=real is not None), real)
        made.held = kind == "parameter"
        made.requires_grad_(tensor.requires_grad)  # matmul takes another way for an operand that needs a gradient
        return made

    def arg(self, arg: Any) -> Arg:
        """An argument as the graph keeps it: tensors by reference, dtypes by name, no devices or layouts."""
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
            self.graph.add(Node(node_id, UPDATED, operands, (), outputs, module=write.module, place=write.place))
            tensor.ref, tensor.seen = Ref(node_id), cell.version
        return tensor.ref

    def wrote(self, tensor: Abstract, writer: Ref) -> None:
        """Note that a node wrote into a tensor's memory."""
        cell = tensor.cell
        cell.version += 1
        cell.writer = writer
        tensor.ref, tensor.seen = writer, cell.version

    def keep_one_refusal(self, since: int, words: str, repair: str) -> None:
        """Of the operations of a refused call, added from index `since` on, let the last that has operands carry it."""
        added = [node for node in list(self.graph)[since:] if node.refused == words]
        for node in added:
            last = node is added[-1]
            self.graph.nodes[node.id] = replace(node, refused=words if last else "", repair=repair if last else "")


def _identifier(name: str) -> str:
    return "".join(c if c.isalnum() or c in "_." else "_" for c in name)


def _stride(tensor: torch.Tensor) -> tuple[int, ...]:
    return (
        tuple(tensor.stride())
        if tensor.layout == torch.strided
        else tuple(torch.empty(tensor.shape, device="meta").stride())
    )
