"""Some tensors of a checkpoint are stored in another float dtype than others of their kind.

A shard that was saved or converted alone, or a merge of two checkpoints, leaves one layer in another dtype than the
next. Loading hides it by casting, at a loss, or keeps it. A kind of tensor that is stored apart in every layer, such
as norms and routers in float32, is so on purpose: a note.

    # checkpoint: a=bf16 b=f32 c=bf16
    # loaded: bf16
    a = parameter : bf16[32,32]  @ layers.0.mlp.weight
    b = parameter : bf16[32,32]  @ layers.1.mlp.weight  # DT402
    c = parameter : bf16[32,32]  @ layers.2.mlp.weight

Save the checkpoint again from one model in one dtype.

    # checkpoint: a=bf16 b=bf16 c=bf16
    # loaded: bf16
    a = parameter : bf16[32,32]  @ layers.0.mlp.weight
    b = parameter : bf16[32,32]  @ layers.1.mlp.weight
    c = parameter : bf16[32,32]  @ layers.2.mlp.weight
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import filterfalse
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import is_float, short, width
from analyzer.ir.graph import in_any_layer
from analyzer.rules import Hit

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.inventory import Held


def check(flow: Flow) -> Iterator[Hit]:
    """Tensors stored in another dtype than most elements are; one finding for each dtype and purpose."""
    most = flow.inventory.stored_dtype
    kinds: defaultdict[str, list[Held]] = defaultdict(list)
    for held in flow.inventory.tensors:
        if is_float(held.saved) and width(held.saved) > 1:
            kinds[in_any_layer(held.name)].append(held)
    for members in filterfalse(_are_narrowed, kinds.values()):
        odd = tuple(held for held in members if held.saved != most)
        for dtype in sorted({held.saved for held in odd}):
            these = tuple(held for held in odd if held.saved == dtype)
            shards = sorted({held.shard for held in these if held.shard})
            alike = len(these) == len(members)
            where = f" (in {', '.join(shards[:3])})" if shards and not alike else ""
            words = f"stored in {short(dtype)}{where}, most of the checkpoint in {short(most)}"
            yield Hit("", words, "note" if alike else "warning", (dtype, str(alike)), tensors=these)


def _are_narrowed(members: list[Held]) -> bool:
    """Whether loading narrows a kind that is stored alike in every layer: DT405 tells that."""
    alike = len({held.saved for held in members}) == 1
    return alike and all(width(held.spec.dtype) < width(held.saved) for held in members)
