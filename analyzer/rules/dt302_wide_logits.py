"""The result of a matrix product is cast to float32 whole, and kept: as the model's output, or for its loss.

`logits.float()` holds no more bits than what it is given, and lives beside it. Over a vocabulary and a long sequence it
is often the largest tensor of all. Scaling and soft caps between the product and the cast, and after it, change
nothing. From 256 MiB on it is a warning, else a note; where the text was made up, its bytes are also given for the
longest that the config allows.

    h = input : bf16[8192,16]
    w = parameter : bf16[16,65536]  @ lm_head
    logits = mm(h, w) : bf16[8192,65536]  @ lm_head
    scaled = div.Tensor(logits, 6.0) : bf16[8192,65536]
    out = _to_copy(scaled, dtype=f32) : f32[8192,65536]  # DT302
    return out

    h = input : bf16[8192,16]
    w = parameter : bf16[16,65536]  @ lm_head
    labels = input : i64[8192]
    logits = mm(h, w) : bf16[8192,65536]  @ lm_head
    wide = _to_copy(logits, dtype=f32) : f32[8192,65536]  # DT302
    shares = _log_softmax(wide, 1, False) : f32[8192,65536]
    loss = nll_loss_forward(shares, labels, None, 1, -100) : f32[]
    return loss

Cast what is computed with, such as the last position alone, or compute the loss piece by piece.

    h = input : bf16[8192,16]
    w = parameter : bf16[16,65536]  @ lm_head
    logits = mm(h, w) : bf16[8192,65536]  @ lm_head
    last = select.int(logits, 0, 8191) : bf16[65536]
    out = _to_copy(last, dtype=f32) : f32[65536]
    return out
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING, Final

from analyzer.ir.blame.roles import base
from analyzer.ir.dtypes import short, width
from analyzer.ir.graph import CAST, UPDATED, Node
from analyzer.rules import Hit
from analyzer.rules.regions import PRODUCTS, VIEWS

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.literal_types import Severity

LARGE: Final = 256 * 2**20
"""Bytes of a wide copy from which it is a warning."""
_SCALED: Final = VIEWS | {"add", "clamp", "div", "masked_fill", "mul", "neg", "sub", "tanh", "where", UPDATED}
"""What stands between a product and its results: views, and operations on each element alone."""
_LOSSES: Final = frozenset(("_log_softmax", "binary_cross_entropy_with_logits", "log_softmax", "logsumexp"))
"""Where the losses over a vocabulary begin; each keeps a copy of its own for the backward pass."""
_WHOLE: Final = 0.5
"""The share of a product that a cast must be of: shifted labels leave one position out."""


def check(flow: Flow) -> Iterator[Hit]:
    """Every cast of a product's whole result to float32 that the code makes and the model's results or loss read."""
    results = {ref.id for ref in flow.graph.outputs}
    for node in flow.graph.ops():
        if node.op != CAST or node.inserted or node.phase or not node.operands():
            continue
        source, target = flow.reads(node.id)[0], flow.dtypes[node.id][0]
        if target != "float32" or width(source) != 2 or not _is_of_product(flow, node):
            continue
        where = _kept(flow, node, results)
        if where is not None:
            size = node.outputs[0].bytes
            message = f"{short(source)} results are kept in {short(target)}{where}: {size:,} bytes more"
            severity: Severity = "warning" if size >= LARGE else "note"
            yield Hit(node.id, message + _longest(flow, node), severity, widened_ops=1, widened_bytes=size)


def _is_of_product(flow: Flow, cast: Node) -> bool:
    """Whether a cast is of the whole result of a product, scaled at most."""
    node = flow.graph[cast.operands()[0].id]
    while node.operands() and node.is_op and base(node) in _SCALED and base(node) not in PRODUCTS:
        node = flow.graph[max(node.operands(), key=lambda ref: prod(flow.graph.spec(ref).shape)).id]
    made = prod(node.outputs[0].shape) if node.outputs else 0
    return base(node) in PRODUCTS and prod(cast.outputs[0].shape) >= _WHOLE * made > 0


def _kept(flow: Flow, cast: Node, results: set[str]) -> str | None:
    """What a cast is kept for, in words: "" where it is a result of the model; None if nothing keeps it."""
    waiting, seen, loss = [cast.id], {cast.id}, None
    while waiting:
        one = waiting.pop()
        if one in results:
            return ""
        for edge in flow.graph.readers(one):
            reader = flow.graph[edge.reader]
            if reader.phase or reader.id in seen:
                continue
            seen.add(reader.id)
            if base(reader) in _LOSSES:
                loss = " for the loss"
            elif base(reader) in _SCALED:
                waiting.append(reader.id)
    return loss


def _longest(flow: Flow, cast: Node) -> str:
    """The bytes for the longest text of the config, where the text at hand was made up."""
    tokens, longest = flow.inventory.tokens, flow.inventory.longest
    if longest <= tokens or tokens not in cast.outputs[0].shape:
        return ""
    return f", {cast.outputs[0].bytes // tokens * longest:,} for {longest:,} tokens"
