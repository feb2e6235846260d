"""Says in which dtype an optimizer keeps and updates a trained parameter, under a plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.plan import Plan
from analyzer.ir.values.limits import LIMITS

HALVES: Final = {name: 2 * LIMITS[name].whole for name in ("bfloat16", "float16")}
"""16-bit dtypes -> the n for which every step under 1/n of a weight rounds away."""


def updated(plan: Plan, inventory: Inventory) -> Iterator[tuple[Held, str]]:
    """Every trained parameter with the dtype in which the optimizer updates it."""
    for held in inventory.tensors:
        if held.kind == "parameter" and held.trained:
            yield held, master(held, plan, inventory)


def moments(plan: Plan, inventory: Inventory) -> Iterator[tuple[Held, str]]:
    """Every trained parameter with the dtype in which an optimizer keeps states that it makes like the parameter."""
    engine = plan.training.deepspeed if plan.training is not None else None
    stated = engine.state_dtype if engine is not None else ""
    for held, dtype in updated(plan, inventory):
        yield held, stated or dtype


def master(held: Held, plan: Plan, inventory: Inventory) -> str:
    """The dtype of the copy that the optimizer updates; it is the parameter itself where nothing widens it."""
    training = plan.training
    dtype = held.spec.dtype
    engine = training.deepspeed if training is not None else None
    if engine is not None and engine.master_dtype:
        return engine.master_dtype  # of float32 parameters too
    if training is None or dtype not in HALVES:
        return dtype
    if engine is not None and (engine.dtype or engine.stage):
        return "float32"  # ZeRO and the engine's own optimizers keep float32 masters of what they cast
    return "float32" if training.fsdp is not None and widened(held, plan, inventory) else dtype


def widened(held: Held, plan: Plan, inventory: Inventory) -> bool:
    """Whether accelerate widens a trained parameter to float32, as it does under FSDP with mixed precision.

    Under FSDP2 it leaves a model with 4-bit weights of bitsandbytes as it is.
    """
    training = plan.training
    if training is None or training.fsdp is None or not training.mixed_precision or not held.trained:
        return False
    return training.fsdp.version == 1 or "Linear4bit" not in inventory.classes.values()
