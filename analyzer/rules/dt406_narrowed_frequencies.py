"""Frequencies, positions or timesteps in float32 are narrowed from outside, before the sine or cosine of their angles.

The model computes its angles in float32, but `model.to(torch.bfloat16)` and `model.half()` cast float buffers too, and
so does `buffer_dtype` of FSDP1, which accelerate sets: `inv_freq` of a rotary embedding then has 8 significant bits. An
angle is off by up to 1/512 of itself, which at position 2,000 is radians for the fast frequencies. FSDP2 casts the
float inputs of each unit (`cast_forward_inputs`): a timestep of 998.39 becomes 1000. Computing in float32 afterwards
does not bring the bits back. `from_pretrained(dtype=...)` leaves buffers alone that no checkpoint holds.

    # narrowed: inv_freq=f32
    inv_freq = buffer : bf16[16]  @ rotary.inv_freq  # DT406
    t = input : f32[8,1]
    wide = _to_copy(inv_freq, dtype=f32) : f32[16]  @ rotary
    angles = mul.Tensor(t, wide) : f32[8,16]  @ rotary
    y = cos(angles) : f32[8,16]  @ rotary

    t = input : f32[8,1]
    freqs = constant : f32[1,16]
    narrow = _to_copy(t, dtype=bf16) : bf16[8,1]  @ time  + fsdp  # DT406
    wide = _to_copy(narrow, dtype=f32) : f32[8,1]  @ time
    angles = mul.Tensor(wide, freqs) : f32[8,16]  @ time
    y = sin(angles) : f32[8,16]  @ time

Load in the dtype that is meant in place of casting the model, or make the table anew afterwards; set `buffer_dtype` to
float32; make the embedding a unit of its own with `cast_forward_inputs=False`, or compute it outside of the model.

    inv_freq = buffer : f32[16]  @ rotary.inv_freq
    t = input : f32[8,1]
    angles = mul.Tensor(t, inv_freq) : f32[8,16]  @ rotary
    y = cos(angles) : f32[8,16]  @ rotary
    narrow = _to_copy(y, dtype=bf16) : bf16[8,16]  @ rotary

What the model's own code narrows is DT203's affair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from analyzer.ir.blame.roles import base
from analyzer.ir.dtypes import DTYPES, is_float, short, width
from analyzer.ir.graph import CAST, Node
from analyzer.rules import Hit
from analyzer.rules.angles import HALVES, before_wave, is_learned, waves

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow

_BY: Final = {"fsdp": "FSDP", "deepspeed": "DeepSpeed's engine"}


def check(flow: Flow) -> Iterator[Hit]:
    """Every buffer that a cast of the whole model narrowed, and every such cast of an engine, where a sine follows."""
    narrowed = {held.name: held for held in flow.inventory.tensors if is_float(held.reason.narrowed_from)}
    seen: set[str] = set()
    for wave in waves(flow):
        for node in before_wave(flow, wave, seen):
            held = narrowed.get(node.name) if node.op == "buffer" else None
            if held is not None and flow.dtypes[node.id][0] in HALVES:
                words = _words(held.reason.narrowed_from, held.spec.dtype, held.reason.text, base(wave))
                yield Hit(node.id, words, "warning", ("buffers", words), tensors=(held,))
            elif _is_cast_from_outside(flow, node):
                wide, narrow = flow.reads(node.id)[0], flow.dtypes[node.id][0]
                words = _words(wide, narrow, f"cast by {_BY[node.inserted]}", base(wave))
                yield Hit(node.id, words, "warning", (str(wave.place) or wave.id, words), place=wave.place)


def _words(wide: str, narrow: str, by: str, wave: str) -> str:
    lost = DTYPES[wide].bits - DTYPES[narrow].bits
    return f"{short(wide)} becomes {short(narrow)} before {wave} ({by}): angles lose {lost} of {DTYPES[wide].bits} bits"


def _is_cast_from_outside(flow: Flow, node: Node) -> bool:
    """Whether an engine narrowed a value that is a position and no hidden state: no weight has gone into it."""
    if node.op != CAST or node.inserted not in _BY:
        return False
    wide, narrow = flow.reads(node.id)[0], flow.dtypes[node.id][0]
    if not (narrow in HALVES and is_float(wide) and width(wide) > 2):
        return False
    return not is_learned(flow, node)
