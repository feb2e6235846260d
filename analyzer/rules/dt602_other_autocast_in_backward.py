"""What a backward pass computes again runs in another dtype than in the forward pass.

Gradient checkpointing, and functions with a backward of their own, run a part of the forward pass once more. If they
open autocast for it without the dtype of the forward pass, the device's default counts: float16 on CUDA, where the
forward had bfloat16, so gradients overflow; without a region, float32. Gradients then belong to other values than the
loss, and nothing fails.

    w = parameter : f32[4,4]  @ proj.weight
    x = input : bf16[2,4]
    c = _to_copy(w, dtype=bf16) : bf16[4,4]  @ proj  + autocast
    y = mm(x, c) : bf16[2,4]  @ proj  # model.py:7
    d = _to_copy(w, dtype=f16) : f16[4,4]  @ proj  + autocast  < recompute
    e = _to_copy(x, dtype=f16) : f16[2,4]  @ proj  + autocast  < recompute
    z = mm(e, d) : f16[2,4]  @ proj  # model.py:7  < recompute  # DT602

Keep what was on in forward (`torch.is_autocast_enabled("cuda")`, `torch.get_autocast_dtype("cuda")`), and open the
region with it again; `torch.utils.checkpoint` and `torch.amp.custom_bwd` do.

    w = parameter : f32[4,4]  @ proj.weight
    x = input : bf16[2,4]
    c = _to_copy(w, dtype=bf16) : bf16[4,4]  @ proj  + autocast
    y = mm(x, c) : bf16[2,4]  @ proj  # model.py:7
    d = _to_copy(w, dtype=bf16) : bf16[4,4]  @ proj  + autocast  < recompute
    z = mm(x, d) : bf16[2,4]  @ proj  # model.py:7  < recompute
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import short
from analyzer.ir.graph import Node
from analyzer.rules import Hit
from analyzer.rules.regions import PRODUCTS, base, yields

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """Products of a recomputation in a dtype that the same line of the forward pass never gave."""
    forward: defaultdict[tuple[str, ...], set[str]] = defaultdict(set)
    products = [node for node in flow.graph.ops() if base(node) in PRODUCTS]
    for node in products:
        if not node.phase:
            for where in _where(node):
                forward[where].add(yields(flow, node))
    for node in products:
        before, now = next(filter(None, map(forward.get, _where(node))), set[str]()), yields(flow, node)
        if node.phase == "recompute" and before and now not in before and not flow.refused(node.id):
            was = " and ".join(short(dtype) for dtype in sorted(before))
            message = f"computed in {was} in the forward pass, and again in {short(now)} for the backward pass"
            yield Hit(node.id, message, "warning", (message,))


def _where(node: Node) -> tuple[tuple[str, ...], ...]:
    """What tells a call again: its line in its module, else the module, for one that torch's own code makes."""
    return (node.module, base(node), str(node.place)), (node.module, base(node))
