"""Parameters of one FSDP unit have several dtypes, and FSDP refuses to shard them together.

FSDP1 flattens all parameters of a unit into one tensor, trained or frozen, before anything can widen them; with
`use_orig_params=False` they must also be all trained or all frozen. FSDP2 asks for one dtype among the trained
parameters of a unit, when the model first runs; accelerate widens those to float32 before, if it has mixed precision.
Units are told by the names of their classes.

    # plan: train fsdp=1
    w = parameter : bf16[32,32]  @ attn.weight
    norm = parameter : f32[32]  @ norm.weight  # DT501

Cast the odd parameters to the dtype of their unit, or make them a unit of their own.

    # plan: train fsdp=1
    w = parameter : bf16[32,32]  @ attn.weight
    norm = parameter : bf16[32]  @ norm.weight
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import is_float
from analyzer.rules import Hit
from analyzer.training.fsdp_units import Unit, fsdp_units
from analyzer.training.optimizer_dtypes import widened

if TYPE_CHECKING:
    from analyzer.ir.flow import Flow
    from analyzer.ir.inventory import Held
    from analyzer.ir.plan import Wrap


def check(flow: Flow) -> Iterator[Hit]:
    """Every unit that is refused, in the words of torch; units that are refused alike are one fault."""
    wrap = flow.plan.training.fsdp if flow.plan.training else None
    if wrap is None:
        return
    for unit in fsdp_units(flow.inventory, wrap):
        words, odd = _flattened(unit, wrap) if wrap.version == 1 else _grouped(flow, unit)
        if words:
            where = flow.inventory.classes.get(unit.modules[0], "")
            yield Hit("", words, "error", (words, where), tensors=odd)


def _flattened(unit: Unit, wrap: Wrap) -> tuple[str, tuple[Held, ...]]:
    """As `FlatParamHandle._validate_tensors_to_flatten` of torch 2.13 goes through them."""
    before, trained = "", False
    for number, held in enumerate(unit.parameters):
        dtype = held.spec.dtype
        if not before and not is_float(dtype):
            return "Cannot flatten integer dtype tensors", (held,)
        if before and dtype != before:
            words = f"Must flatten tensors with uniform dtype but got torch.{before} and torch.{dtype}"
            return words, _odd({one: one.spec.dtype for one in unit.parameters})
        if not wrap.use_orig_params and number and held.trained != trained:
            words = "Must flatten tensors with uniform `requires_grad` when `use_orig_params=False`"
            return words, _odd({one: str(one.trained) for one in unit.parameters})
        before, trained = dtype, trained or held.trained
    return "", ()


def _grouped(flow: Flow, unit: Unit) -> tuple[str, tuple[Held, ...]]:
    """As `FSDPParamGroup._init_mp_dtypes` does it; torch prints a set, in no order."""
    dtypes = {
        held: "float32" if widened(held, flow.plan, flow.inventory) else held.spec.dtype
        for held in unit.parameters
        if held.trained
    }
    if len(set(dtypes.values())) < 2:
        return "", ()
    names = ", ".join(f"torch.{name}" for name in sorted(set(dtypes.values())))
    return f"FSDP expects uniform original parameter dtype but got {{{names}}}", _odd(dtypes)


def _odd(kinds: dict[Held, str]) -> tuple[Held, ...]:
    """Those that are not like most elements of the unit."""
    sizes: Counter[str] = Counter()
    for held, kind in kinds.items():
        sizes[kind] += prod(held.spec.shape)
    most = sizes.most_common(1)[0][0]
    return tuple(held for held, kind in kinds.items() if kind != most)
