"""A library holds matrices in float32 that were 16 bits wide, and nothing trains them: twice the memory for nothing.

peft's `prepare_model_for_kbit_training` widens all that is not quantised, which is meant for norms and takes the
embedding and the output layer along: gigabytes for a large vocabulary, and their products in float32. Adapters that
were saved in 16 bits are widened as well when they are loaded, unless `autocast_adapter_dtype=False` is given. What is
trained is better off in float32, and so are vectors. From 64 MiB on it is a warning, else a note.

    # loaded: bf16
    # widened: embed head
    # plan: train frozen=model
    embed = parameter : f32[65536,512]  @ model.embed.weight  # DT304
    head = parameter : f32[65536,512]  @ model.head.weight  # DT304

Cast them back after the preparation, or prepare the norms alone.

    # loaded: bf16
    # widened: norm
    # plan: train frozen=model
    embed = parameter : bf16[65536,512]  @ model.embed.weight
    norm = parameter : f32[512]  @ model.norm.weight
    a = parameter : f32[65536,512]  @ lora_A.weight
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.dtypes import short, width
from analyzer.rules import Hit

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.inventory import Held
    from analyzer.ir.literal_types import Severity

LARGE: Final = 64 * 2**20
"""Bytes more from which it is a warning."""


def check(flow: Flow) -> Iterator[Hit]:
    """All such matrices, as one finding for each dtype that they had."""
    found = [(held, narrow) for held in flow.inventory.tensors if (narrow := _narrow(flow, held))]
    for narrow in dict.fromkeys(narrow for _, narrow in found):
        these = tuple(held for held, its in found if its == narrow)
        extra = sum(held.spec.bytes // 2 for held in these)
        severity: Severity = "warning" if extra >= LARGE else "note"
        words = f"{short(narrow)} before, held in f32 by a library, and not trained: {extra:,} bytes more for nothing"
        yield Hit("", words, severity, (narrow,), widened_bytes=extra, tensors=these)


def _narrow(flow: Flow, held: Held) -> str:
    """The 16-bit dtype that a matrix had; "" if it is none, is trained, or was not widened by a library."""
    trained = held.trained and (flow.plan.train or bool(flow.plan.stage))
    if held.kind != "parameter" or trained or held.spec.dtype != "float32" or len(held.spec.shape) < 2:
        return ""
    by_cast = flow.inventory.loaded if held.reason.kind == "cast_by_library" else ""
    before = held.saved if held.reason.kind in ("adapter", "cast_by_library") and held.saved else by_cast
    return before if width(before) == 2 else ""
