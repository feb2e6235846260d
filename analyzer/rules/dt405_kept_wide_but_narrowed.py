"""Tensors that the checkpoint or the model's class keeps wide on purpose are narrowed from outside.

Routers, attention sinks, the `A_log` of state-space models and biases of experts are stored in float32 in checkpoints
whose other weights are bfloat16: small differences between their values decide much. Loading all of it in one 16-bit
dtype rounds them, and so do `model.to(torch.bfloat16)`, `model.half()`, DeepSpeed's engine and the `param_dtype` of
FSDP, which know no exceptions: not those of `_keep_in_fp32_modules` either. Nothing fails. Worse than rounded is a
complex table (`freqs_cis`): a cast of the whole model to a real dtype drops its imaginary part.

    # checkpoint: w=bf16 sinks=f32
    # loaded: bf16
    w = parameter : bf16[32,32]  @ layers.0.attn.weight
    sinks = parameter : bf16[4]  @ layers.0.attn.sinks  # DT405

    # narrowed: wo=f32:_keep_in_fp32_modules
    wo = parameter : f16[32,32]  @ layers.0.mlp.wo.weight  # DT405

Name these tensors in `_keep_in_fp32_modules_strict` of the class, so that loading leaves them as they are stored; load
in the dtype that is meant in place of `.to()`; leave tables out of `.to()`, or make them anew after it.

    # checkpoint: w=bf16 sinks=f32
    # loaded: bf16
    w = parameter : bf16[32,32]  @ layers.0.attn.weight
    sinks = parameter : f32[4]  @ layers.0.attn.sinks

A checkpoint that is float32 as a whole is DT401's affair, a single odd layer DT402's, and a tensor that a person gives
another dtype by its name nobody's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import DTYPES, is_float, kind, short, width
from analyzer.ir.graph import in_any_layer
from analyzer.rules import Hit
from analyzer.training.fsdp_units import fsdp_units

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.inventory import Held, Inventory


def check(flow: Flow) -> Iterator[Hit]:
    """Every tensor that was kept wide and is no more: one finding for each way in which that happened."""
    most, engines = _most(flow.inventory), _engines(flow)
    apart = _stored_apart(flow.inventory, most)
    groups: defaultdict[tuple[str, str], list[Held]] = defaultdict(list)
    for held in flow.inventory.tensors:
        wide, dtype, by = _narrowing(held, engines)
        if wide == dtype or held.reason.kind == "set_by_plan":
            continue
        if kind(wide) == "complex" and kind(dtype) != "complex":
            groups[f"{short(wide)} becomes {short(dtype)}: the imaginary part is dropped", by].append(held)
        elif held.reason.kept_by and width(dtype) < width(wide):
            groups[f"kept in float32 by {held.reason.kept_by}, {_loss(wide, dtype)}", by].append(held)
        elif held.name in apart and width(dtype) < width(held.saved):
            words = (
                f"stored in {short(held.saved)}, most of the checkpoint in {short(most)}, {_loss(held.saved, dtype)}"
            )
            groups[words, by].append(held)
    for (words, by), tensors in groups.items():
        yield Hit("", f"{words} ({by})", "warning", (words, by), tensors=tuple(tensors))


def _narrowing(held: Held, engines: Mapping[str, tuple[str, str]]) -> tuple[str, str, str]:
    """The dtype that a tensor had or is stored in, the one that it computes in, and who cast it."""
    reason, dtype = held.reason, held.spec.dtype
    computes, engine = engines.get(held.name, (dtype, ""))
    if is_float(dtype) and width(computes) < width(dtype):
        return reason.narrowed_from or dtype, computes, engine
    if reason.narrowed_from:
        return reason.narrowed_from, dtype, reason.text
    return held.saved or dtype, dtype, reason.text if reason.kind == "cast_by_library" else "cast by the load"


def _loss(wide: str, dtype: str) -> str:
    lost = DTYPES[wide].bits - DTYPES[dtype].bits
    small = ", and values over 65504 become infinite" if dtype == "float16" else ""
    return f"and narrowed to {short(dtype)}: {lost} of {DTYPES[wide].bits} bits of precision are lost{small}"


def _most(inventory: Inventory) -> str:
    """The dtype of 16 bits or more that most elements of the checkpoint have."""
    sizes: Counter[str] = Counter()
    for held in inventory.tensors:
        if is_float(held.saved) and width(held.saved) > 1:
            sizes[held.saved] += prod(held.spec.shape)
    return sizes.most_common(1)[0][0] if sizes else ""


def _stored_apart(inventory: Inventory, most: str) -> set[str]:
    """Names of what is stored wider than most of the checkpoint, in every layer of a stack alike."""
    kinds: defaultdict[str, list[Held]] = defaultdict(list)
    for held in inventory.tensors:
        kinds[in_any_layer(held.name)].append(held)
    return {
        held.name
        for members in kinds.values()
        if most and all(is_float(one.saved) and width(one.saved) > width(most) for one in members)
        for held in members
    }


def _engines(flow: Flow) -> dict[str, tuple[str, str]]:
    """Parameter -> the dtype that a training engine computes with it in, and the engine's words."""
    training = flow.plan.training
    if training is None:
        return {}
    engine, wrap = training.deepspeed, training.fsdp
    if engine is not None and engine.dtype:
        by = f"cast by DeepSpeed's {short(engine.dtype)} engine"
        return {held.name: (engine.dtype, by) for held in flow.inventory.tensors if held.kind == "parameter"}
    if wrap is None or not wrap.param_dtype:
        return {}
    dtype, by = wrap.param_dtype, f"cast by FSDP to its param_dtype, {short(wrap.param_dtype)}"
    units = fsdp_units(flow.inventory, wrap)
    return {held.name: (dtype, by) for unit in units if unit.narrow for held in unit.parameters}
