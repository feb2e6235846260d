"""A call is given operands whose dtypes its kernel will not take together.

Matrix products, convolutions and attention do not promote: they raise at run time. The odd operand is often made
far from the call, by a parameter that stayed in another dtype and a sum that silently took it over.

    query = parameter : bf16[5,32]  @ resampler
    pos_embed = parameter : f32[5,32]  @ resampler
    w = parameter : bf16[32,32]  @ resampler.attn
    x = add.Tensor(query, pos_embed) : f32[5,32]  @ resampler
    y = mm(x, w) : bf16[5,32]  @ resampler.attn  ! expected m1 and m2 to have the same dtype  # DT101

Cast the tensor that the dtype comes from, once, after loading; or cast at its use.

    query = parameter : bf16[5,32]  @ resampler
    pos_embed = parameter : bf16[5,32]  @ resampler
    w = parameter : bf16[32,32]  @ resampler.attn
    x = add.Tensor(query, pos_embed) : bf16[5,32]  @ resampler
    y = mm(x, w) : bf16[5,32]  @ resampler.attn
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import is_float
from analyzer.ir.graph import causes
from analyzer.rules import Hit, cause, concerned

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """Every refused call, in the kernel's own words; one whose causes are all known already is one more place."""
    known: dict[str, tuple[str, ...]] = {}
    for node in causes(node for node in flow.graph.ops() if flow.refused(node.id)):
        refs = concerned(flow, node)
        odd = [ref for ref in refs if node.repair and flow.dtype(ref) != node.repair]
        odd = [ref for ref in odd if is_float(flow.dtype(ref))] or odd
        found = cause(flow, node, odd or refs)[1:]
        new = [name for name in found if name not in known]
        known |= dict.fromkeys(new, found)
        yield Hit(node.id, flow.refused(node.id), "error", (node.phase, *(found if new else known[found[0]])))
