"""Autocast gives a layer the cast that it kept of a weight, although the weight was written since.

Inside a region, autocast casts a float32 weight once and keeps the cast until the outermost region ends; it does not
ask whether the weight has changed. An optimizer step, `w.data.copy_(...)` or a swap of reference weights inside the
region therefore changes nothing that is computed after it: the loss stays where it is, a KL divergence is zero.

    w = parameter : f32[4,4]  @ proj.weight
    x = input : bf16[2,4]
    new = input : f32[4,4]
    c = _to_copy(w, dtype=bf16) : bf16[4,4]  @ proj  + autocast
    y = mm(x, c) : bf16[2,4]  @ proj
    written = copy_(w, new) : f32[4,4]
    z = mm(x, c) : bf16[2,4]  @ proj  | stale  # DT601

End the region before the weight is written and open another one afterwards, or call `torch.clear_autocast_cache()`.

    w = parameter : f32[4,4]  @ proj.weight
    x = input : bf16[2,4]
    new = input : f32[4,4]
    c = _to_copy(w, dtype=bf16) : bf16[4,4]  @ proj  + autocast
    y = mm(x, c) : bf16[2,4]  @ proj
    written = copy_(w, new) : f32[4,4]
    d = _to_copy(written, dtype=bf16) : bf16[4,4]  @ proj  + autocast
    z = mm(x, d) : bf16[2,4]  @ proj

Before torch 2.10 a cast that was made under `no_grad` was kept without its gradient too: where it is used again with
gradients, none reaches the weight.

    w = parameter : f32[4,4]  @ proj.weight
    x = input : bf16[2,4]
    c = _to_copy(w, dtype=bf16) : bf16[4,4]  @ proj  + autocast
    y = mm(x, c) : bf16[2,4]  @ proj  | no_grad  # DT601

There, too, make two regions of it, or make the first one with `cache_enabled=False`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from analyzer.ir.graph import CAST, Node
from analyzer.rules import Hit
from analyzer.rules.regions import VIEWS, base, unviewed
from analyzer.rules.updates import root_of

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_WORDS: Final = {
    "stale": "{name} was written{write}, but autocast uses the cast that it kept from before{cast}",
    "no_grad": "autocast kept a cast of {name} from under no_grad{cast} and uses it here: no gradient reaches it",
}


def check(flow: Flow) -> Iterator[Hit]:
    """Every call that is given such a cast; those of one line are one finding."""
    writes: dict[str, Node] = {}
    for node in flow.graph.ops():
        if node.kept_cast and not node.phase and base(node) not in VIEWS:
            yield Hit(node.id, _words(flow, node, writes), "warning", (node.kept_cast, str(node.place) or node.id))
        elif base(node).endswith("_") and node.operands():
            for ref in node.operands()[: len(node.outputs)]:
                writes[root_of(flow, ref, casts=False).id] = node


def _words(flow: Flow, node: Node, writes: Mapping[str, Node]) -> str:
    """Which weight it is, where it was written, and where the cast was made; a weight counts before its bias."""
    casts = [(one, root_of(flow, one.operands()[0], casts=False)) for one in _casts(flow, node)]
    weights = [(cast, root) for cast, root in casts if root.op in ("parameter", "constant")]
    if not weights:
        return _WORDS[node.kept_cast].format(name="a weight", write="", cast="")
    cast, weight = max(weights, key=lambda pair: (pair[1].id in writes, len(pair[1].outputs[0].shape)))
    write = writes.get(weight.id)
    return _WORDS[node.kept_cast].format(
        name=weight.name,
        write=f" at {write.place}" if write is not None and write.place.file else "",
        cast=f" (made at {cast.place})" if cast.place.file else "",
    )


def _casts(flow: Flow, node: Node) -> Iterator[Node]:
    """The casts of autocast among what a call reads."""
    for ref in node.operands():
        one = unviewed(flow, flow.graph[ref.id])
        if one.op == CAST and one.inserted == "autocast":
            yield one
