"""A call is given operands in dtypes that its kernel will not take, together or at all.

Matrix products, convolutions and attention do not promote: they raise at run time. The odd operand is often made
far from the call, by a parameter that stayed in another dtype and a sum that silently took it over. The same goes for
an operand of another kind, an integer where a float belongs or a mask that is no bool, for a dtype that a kernel does
not have, and for a check that a module makes in Python, as `nn.LSTM` does. Whatever the dtypes are, it counts only
where other dtypes would make the call run.

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

from analyzer.ir.graph import causes
from analyzer.rules import Hit, cause, concerned

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """Every refused call, in the kernel's own words; one whose causes are all known already is one more place."""
    known: dict[str, tuple[str, ...]] = {}
    for node in causes(node for node in flow.graph.ops() if flow.refused(node.id)):
        found = cause(flow, node, flow.odd(node.id) or concerned(flow, node))[1:]
        new = [name for name in found if name not in known]
        known |= dict.fromkeys(new, found)
        yield Hit(node.id, flow.refused(node.id), "error", (node.phase, *(found if new else known[found[0]])))
