"""Parameters are not in the checkpoint: their values are what the constructor made, in the dtype that it made.

A new head on a pretrained body is meant to be so. A name that changed, or a part that was never saved, is not: the
model runs on random weights, and code that makes them in float32 leaves them so in a 16-bit model.

    # checkpoint: w=bf16
    # loaded: bf16
    w = parameter : bf16[32,32]  @ body.weight
    head = parameter : f32[2,32]  @ head.weight  # DT403

Train what is new before it is used; correct the names of what is not.

    # checkpoint: w=bf16 head=bf16
    # loaded: bf16
    w = parameter : bf16[32,32]  @ body.weight
    head = parameter : bf16[2,32]  @ head.weight
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import short
from analyzer.rules import Hit

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow


def check(flow: Flow) -> Iterator[Hit]:
    """Parameters without a stored tensor, where the whole checkpoint was read; all of them are one finding."""
    held = flow.inventory
    if not held.has_checkpoint:
        return
    missing = tuple(
        one
        for one in held.tensors
        if one.kind == "parameter" and not one.saved and not any(re.search(p, one.name) for p in held.made_anew)
    )
    if missing:
        dtypes = ", ".join(sorted({short(one.spec.dtype) for one in missing}))
        are = "parameter is" if len(missing) == 1 else "parameters are"
        words = f"{len(missing)} {are} not in the checkpoint and made anew, in {dtypes}"
        yield Hit("", words, "warning", ("missing",), tensors=missing)
