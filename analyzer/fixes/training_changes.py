"""Proposals for errors of stored tensors, which no call shows: what FSDP, a GradScaler or DeepSpeed refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Final

from analyzer.fixes.plan_changes import stored
from analyzer.ir.dtypes import is_float, parse_autocast, short
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proposals import Proposal
from analyzer.ir.flow import Flow
from analyzer.ir.plan import FieldValue, Plan, Training, Wrap
from analyzer.training.fsdp_units import fsdp_units

_NO_CAST: Final = {
    "DT404": "the checkpoint and the code disagree about shapes, which no cast mends",
    "DT501": "a parameter of integers cannot be flattened with others; keep it out of what FSDP wraps",
}
"""Errors of stored tensors that may have no proposal, and why."""


def trainings(flow: Flow, finding: Finding) -> Iterator[Proposal]:
    """Every change of the set-up that could clear an error of stored tensors."""
    propose = _BY_CODE.get(finding.code)
    if propose and finding.tensors and finding.severity == "error":
        yield from propose(flow, finding)


def unproposed(finding: Finding) -> str:
    """Why an error has no proposal, in words."""
    if finding.tensors:
        return _NO_CAST.get(finding.code, "no cast of these tensors clears it")
    return "no dtype of its operands makes the call run" if not finding.operands else "no line or tensor can be cast"


def _flat(flow: Flow, finding: Finding) -> Iterator[Proposal]:
    """Casts of the odd parameters of FSDP units to the dtype that most elements of their unit have."""
    training = flow.plan.training
    if training is None or training.fsdp is None:
        return
    wanted = _as_in_their_units(flow, training.fsdp, finding.tensors)
    for dtype in dict.fromkeys(wanted.values()):
        yield stored({name: one for name, one in wanted.items() if one == dtype})
    if len(set(wanted.values())) > 1:
        yield Proposal("stored", f"cast {len(wanted)} parameters to the dtype of their FSDP units", {"set": wanted})
    if "requires_grad" in finding.message:
        whole = replace(training, fsdp=replace(training.fsdp, use_orig_params=True))
        yield _recipe(flow.plan, "fsdp_use_orig_params: true", whole)
    if training.fsdp.version == 2 and not training.mixed_precision:  # as accelerate fills the policy in
        half = "bfloat16"
        policy = replace(training.fsdp, param_dtype=half, reduce_dtype=half, output_dtype=half)
        mixed = replace(training, mixed_precision="bf16", fsdp=policy)
        yield _recipe(flow.plan, "mixed_precision: bf16, for which accelerate widens what is trained", mixed)


def _as_in_their_units(flow: Flow, fsdp: Wrap, tensors: Container[str]) -> dict[str, str]:
    """Those of some float parameters that are not in the dtype of most elements of their unit -> that dtype."""
    wanted: dict[str, str] = {}
    for unit in fsdp_units(flow.inventory, fsdp):
        floats = [held for held in unit.parameters if is_float(held.spec.dtype)]
        sizes: Counter[str] = Counter()
        for held in floats:
            if fsdp.version == 1 or held.trained:
                sizes[held.spec.dtype] += prod(held.spec.shape)
        most = sizes.most_common(1)[0][0] if sizes else ""
        wanted |= {held.name: most for held in floats if held.name in tensors and most != held.spec.dtype}
    return wanted


def _scaled(flow: Flow, _: Finding) -> Iterator[Proposal]:
    """Float32 parameters for the scaler, or bfloat16, which needs none."""
    plan = flow.plan
    wide = {"dtype": "float32"} | ({"to": "float32"} if plan.to == "float16" else {})
    if flow.inventory.loaded:
        yield Proposal("model", "load the model in f32; autocast makes the f16", wide)
    else:
        yield Proposal("model", "cast the whole model: model.to(f32); autocast makes the f16", {"to": "float32"})
    fields = {"dtype": "bfloat16"} if flow.inventory.loaded else {"to": "bfloat16"}
    fields |= {"to": "bfloat16"} if plan.to == "float16" else {}
    if plan.autocast:
        fields["autocast"] = f"{parse_autocast(plan.autocast)[0]}:bfloat16"
    training = replace(plan.training or Training(), scaler=False, mixed_precision="bf16")
    yield _recipe(plan, "bf16 in place of fp16, without a scaler", training, fields)


def _accumulated(flow: Flow, _: Finding) -> Iterator[Proposal]:
    """The engine's own dtype for accumulation, or ZeRO, which takes any."""
    training = flow.plan.training
    if training is None or training.deepspeed is None:
        return
    engine = training.deepspeed
    name = short(engine.dtype or "float32")
    what = f"data_types.grad_accum_dtype: {name}, or leave it out"
    yield _recipe(flow.plan, what, replace(training, deepspeed=replace(engine, accumulation_dtype="")))
    yield _recipe(flow.plan, "zero_optimization.stage: 1", replace(training, deepspeed=replace(engine, stage=1)))


def _recipe(plan: Plan, what: str, training: Training, fields: Mapping[str, FieldValue] | None = None) -> Proposal:
    """Another recipe for this stage."""
    stage = replace(plan, training=training).changed(fields or {})
    return Proposal("recipe", f"in the recipe, {what}", stages=(stage,))


_BY_CODE: Final[dict[str, Callable[[Flow, Finding], Iterator[Proposal]]]] = {
    "DT501": _flat,
    "DT502": _scaled,
    "DT505": _accumulated,
}
"""Code of a rule -> what proposes for its errors."""
