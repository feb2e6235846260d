"""Updates of stored tensors as a graph shows them: which tensor is written, and how large the change is beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from analyzer.ir.graph import CAST, UPDATED, Arg, Node, Ref
from analyzer.rules.regions import CASTS, VIEWS, base, unviewed

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_FOREACH: Final = "_foreach_"
_FUSED: Final = {"_fused_adam_": 3, "_fused_adamw_": 3, "_fused_sgd_": None, "_fused_adagrad_": None}
"""Optimizers that are one kernel -> the position of Adam's second moments."""
_NORMS: Final = frozenset((
    "native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "miopen_batch_norm", "_batch_norm_with_update",
))  # fmt: skip
_MOMENTUM: Final = {"_batch_norm_with_update": 5}
"""Position of the momentum, where it is not 6: after the flag `training`."""
_MADE: Final = frozenset(("zeros_like", "empty_like", "new_zeros", "zeros"))
"""What the states of an optimizer are made by in its first step."""


@dataclass(frozen=True, slots=True)
class Update:
    """One write into a stored tensor: `share` is by how much of itself it may change; 1 where that is not known."""

    node: Node
    target: Ref
    root: Node
    """The stored tensor, or what made the state of an optimizer."""
    share: float


def updates(flow: Flow) -> Iterator[Update]:
    """Every write of the forward pass that adds to a stored tensor, or scales it, in reading order."""
    for node in flow.graph.ops():
        if node.phase:
            continue
        for target, share in _written(flow, node):
            root = root_of(flow, target, casts=False)
            if share and (not root.is_op or base(root) in _MADE):
                yield Update(node, target, root, share)


def root_of(flow: Flow, ref: Ref, *, casts: bool) -> Node:
    """What a tensor was before it was written and viewed, and with `casts` before it was cast."""
    node = flow.graph[ref.id]
    while node.is_op and node.operands():
        name = base(node)
        if not (node.op == UPDATED or name in VIEWS or name.endswith("_") or (casts and node.op == CAST)):
            return node
        before = _listed(node.args[0])
        ref = before[min(ref.index, len(before) - 1)] if before else node.operands()[0]
        node = flow.graph[ref.id]
    return node


def _written(flow: Flow, node: Node) -> Iterator[tuple[Ref, float]]:
    """What a call writes, each with its share; a new sum or average counts as written in the place of the old."""
    name = base(node)
    if name in _FUSED:
        return _fused(node, name)
    if name in _NORMS:
        return _statistics(node, name)
    if name == "copy_":
        return _overwritten(flow, node)
    if node.op.endswith("out"):
        return _put_out(flow, node)
    if name.endswith("_"):
        return iter([(ref, _share(flow, node, index)) for index, ref in enumerate(_listed(node.args[0]))])
    return _anew(flow, node) if name in ("add", "sub", "lerp") and node.operands() else iter(())


def _statistics(node: Node, name: str) -> Iterator[tuple[Ref, float]]:
    momentum = _at(node, _MOMENTUM.get(name, 6), "momentum")
    if True in node.args and isinstance(momentum, float):
        yield from ((arg, momentum) for arg in node.args[3:5] if isinstance(arg, Ref))


def _overwritten(flow: Flow, node: Node) -> Iterator[tuple[Ref, float]]:
    for target, source in zip(_listed(node.args[0]), _listed(node.args[1]), strict=False):
        yield target, _copied(flow, source, root_of(flow, target, casts=False))


def _put_out(flow: Flow, node: Node) -> Iterator[tuple[Ref, float]]:
    """`out=` that is the tensor which the call reads first."""
    out = _at(node, len(node.args), "out")
    if isinstance(out, Ref) and root_of(flow, node.operands()[0], casts=False) is root_of(flow, out, casts=False):
        yield out, _share(flow, node, 0)


def _fused(node: Node, name: str) -> Iterator[tuple[Ref, float]]:
    numbers = {key: value for key, value in node.kwargs if isinstance(value, float)}
    for target in _listed(node.args[0]):
        yield target, numbers.get("lr", 0.0)
    seconds = _FUSED[name]
    for target in _listed(node.args[seconds]) if seconds is not None else ():
        yield target, 1 - numbers.get("beta2", 0.0)


def _anew(flow: Flow, node: Node) -> Iterator[tuple[Ref, float]]:
    """A new tensor that is to take the place of a stored one: `decay * old + (1 - decay) * new`, or `lerp`."""
    if base(node) == "lerp":
        yield node.operands()[0], _share(flow, node, 0)
        return
    for old, new in (node.operands(), node.operands()[::-1]) if len(node.operands()) == 2 else ():
        kept = _kept(flow, old)
        if kept is not None and kept[1] != 1:
            yield kept[0], max(abs(1 - kept[1]), _size(flow, new))


def _kept(flow: Flow, ref: Ref) -> tuple[Ref, float] | None:
    """The tensor that is times a number, and the number; None for what is no such product."""
    node = unviewed(flow, flow.graph[ref.id], CASTS)
    number = _number(node, 0) if base(node) == "mul" else None
    return None if number is None else (node.operands()[0], number)


def _copied(flow: Flow, source: Ref, root: Node) -> float:
    """How large the change is where a tensor is overwritten by what was computed from itself."""
    node, index = _behind(flow, source)
    if base(node).removesuffix("_") in ("add", "sub", "lerp", "addcmul", "addcdiv"):
        first = node.operands()[0] if node.operands() else source
        if base(node) == "add" and len(node.operands()) == 2:
            for old, new in (node.operands(), node.operands()[::-1]):
                kept = _kept(flow, old)
                before, number = kept if kept is not None else (old, 1.0)
                if root_of(flow, before, casts=True) is root:
                    return max(abs(1 - number), _size(flow, new) * _alpha(node))
        elif root_of(flow, first, casts=True) is root:
            return _share(flow, node, index)
    return 1.0


def _behind(flow: Flow, ref: Ref) -> tuple[Node, int]:
    node = flow.graph[ref.id]
    while node.is_op and (node.op == CAST or base(node) in VIEWS) and node.operands():
        ref = node.operands()[0]
        node = flow.graph[ref.id]
    return node, ref.index


def _share(flow: Flow, node: Node, index: int) -> float:
    """By how much of itself the written tensor may change; 0 for what is no update."""
    name = base(node).removeprefix(_FOREACH).removesuffix("_")
    if name == "mul":
        number = _number(node, index)
        return 0.0 if number is None or number == 1 else min(1.0, abs(1 - number))
    if name in ("add", "sub"):
        other = node.args[1] if len(node.args) > 1 else None
        others = _listed(other)
        if not others:
            return 0.0
        return _size(flow, others[min(index, len(others) - 1)]) * _alpha(node)
    if name == "lerp":
        return _weight(_at(node, 2, "weight"), index)
    if name in ("addcmul", "addcdiv"):
        value = 1.0 if len(node.args) < 4 and not node.kwargs else _weight(_at(node, 3, "value", "scalars"), index)
        factors = [_listed(arg) for arg in node.args[1 : 3 if name == "addcmul" else 2]]
        return value * prod(_size(flow, refs[min(index, len(refs) - 1)]) for refs in factors if refs)
    return 0.0


def _size(flow: Flow, ref: Ref, depth: int = 8) -> float:
    """By which number in the code a value is scaled down; of a sum, the larger part's."""
    node = flow.graph[ref.id]
    if not node.is_op or not node.operands() or not depth:
        return 1.0
    name, number = base(node).removeprefix(_FOREACH).removesuffix("_"), _number(node, ref.index)
    before = _listed(node.args[0])
    first = before[min(ref.index, len(before) - 1)] if before else node.operands()[0]
    if node.op == CAST or name in VIEWS or name == "neg":
        return _size(flow, first, depth - 1)
    if name in ("mul", "div") and number:
        return _size(flow, first, depth - 1) * (abs(number) if name == "mul" else 1 / abs(number))
    if name in ("add", "sub") and len(node.operands()) == 2:
        one, other = (_size(flow, operand, depth - 1) for operand in node.operands())
        return max(one, other * _alpha(node))
    return 1.0


def _number(node: Node, index: int) -> float | None:
    return _weight(node.args[1], index, signed=True) if len(node.args) > 1 and not _listed(node.args[1]) else None


def _alpha(node: Node) -> float:
    return abs(next((value for key, value in node.kwargs if key == "alpha" and isinstance(value, (int, float))), 1.0))


def _weight(value: Arg, index: int, *, signed: bool = False) -> float:
    """A number, or that of its place in a list; 1 for what is none, so that it counts as large."""
    if isinstance(value, tuple):
        value = value[index] if index < len(value) else None
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 1.0
    return number if signed else abs(number)


def _at(node: Node, position: int, *names: str) -> Arg:
    named = {key: value for key, value in node.kwargs if key in names}
    return node.args[position] if len(node.args) > position else next(iter(named.values()), None)


def _listed(arg: Arg) -> list[Ref]:
    """The tensors of an argument: one, or those of a list."""
    return [one for one in (arg if isinstance(arg, tuple) else (arg,)) if isinstance(one, Ref)]
