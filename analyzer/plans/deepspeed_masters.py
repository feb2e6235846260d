"""The dtypes in which DeepSpeed's ZeRO keeps master weights and Adam's moments, where a configuration narrows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.plans.facts import section, truth

_STOPS: Final = "DeepSpeed stops here: change the configuration"
_ADAMS: Final = ("adam", "adamw")
_OFFLOADS: Final = ("cpu", "nvme")


def masters(values: Mapping[str, object], stage: int, where: str) -> dict[str, object]:
    """The facts `deepspeed.master_dtype` and `deepspeed.state_dtype`; none where both are float32.

    As `DeepSpeedConfig._do_error_check` (runtime/config.py) and `ZeROOptimizer._configure_master_weights`
    (runtime/base_optimizer.py) of deepspeed 0.19.8 have it: neither asks whether bf16 or fp16 is enabled. Raises
    AnalyzerError, in their words, for what they refuse.
    """
    bf16 = section(values.get("bf16", values.get("bfloat16")), f"{where}: bf16")
    narrow = truth(bf16.get("bf16_master_weights_and_grads"), f"{where}: bf16_master_weights_and_grads")
    states = truth(bf16.get("bf16_optimizer_states"), f"{where}: bf16_optimizer_states")
    fp16 = section(values.get("fp16"), f"{where}: fp16")
    half = truth(fp16.get("fp16_master_weights_and_grads"), f"{where}: fp16_master_weights_and_grads")
    if not (narrow or states or half):
        return {}
    names = (half, "Fp16_master_weights_and_grads"), (narrow, "Bf16_master_weights_and_grads"), (
        states, "bf16_optimizer_states"
    )  # fmt: skip
    for on, name in names:
        if on and stage not in (1, 2, 3):
            raise AnalyzerError(f"{where}: {name} is only supported with ZeRO Stage 1, 2, or 3.", hint=_STOPS)
    if states and not narrow:
        words = "bf16_optimizer_states requires bf16_master_weights_and_grads to be enabled."
        raise AnalyzerError(f"{where}: {words}", hint=_STOPS)
    if half and narrow:
        words = "fp16_master_weights_and_gradients and bf16_master_weights_and_gradients are mutually exclusive."
        raise AnalyzerError(f"{where}: {words}", hint=_STOPS)
    if stage == 1 and _own_optimizer(values, where):
        return {}
    dtype = "float16" if half else "bfloat16"
    return {"deepspeed.master_dtype": dtype, "deepspeed.state_dtype": _moments(values, dtype, stage, where, states)}


def _own_optimizer(values: Mapping[str, object], where: str) -> bool:
    """Whether stage 1 has the optimizer for bf16, whose masters are always float32.

    It has where gradients are accumulated in float32 (`_do_optimizer_sanity_check` of runtime/engine.py).
    """
    types = section(values.get("data_types"), f"{where}: data_types")
    return str(types.get("grad_accum_dtype")) in ("fp32", "float32") and not _offloaded(values, where)


def _offloaded(values: Mapping[str, object], where: str) -> bool:
    zero = section(values.get("zero_optimization"), f"{where}: zero_optimization")
    device = section(zero.get("offload_optimizer"), f"{where}: offload_optimizer").get("device")
    return device in _OFFLOADS or truth(zero.get("cpu_offload"), f"{where}: cpu_offload")


def _moments(values: Mapping[str, object], dtype: str, stage: int, where: str, states: bool) -> str:
    """In which dtype Adam keeps its moments beside narrow masters.

    DeepSpeedCPUAdam widens them unless told otherwise; an optimizer that is not offloaded makes them like the masters,
    and is let through for `bf16_optimizer_states` alone.
    """
    offloaded = _offloaded(values, where)
    if states and not offloaded:
        return dtype
    given = section(values.get("optimizer"), f"{where}: optimizer")
    name, params = str(given.get("type") or ""), section(given.get("params"), f"{where}: optimizer.params")
    on_cpu = name.lower() in _ADAMS and not truth(params.get("torch_adam"), f"{where}: torch_adam")
    if not offloaded or (name and not on_cpu):
        words = f"Master weights feature requires ZeRO-{stage} Offload with DeepSpeedCPUAdam."
        raise AnalyzerError(f"{where}: {words}", hint="set offload_optimizer.device to cpu and optimizer.type to AdamW")
    if states:
        if not name:  # the optimizer of accelerate and of the Trainer has float32 states
            words = (
                "bf16_optimizer_states with ZeRO-Offload requires DeepSpeedCPUAdam constructed with "
                "fp32_optimizer_states=False so optimizer moments are stored in bf16."
            )
            raise AnalyzerError(f"{where}: {words}", hint="name the optimizer in the configuration")
        return dtype
    wide = params.get("fp32_optimizer_states")
    return "float32" if wide is None or truth(wide, f"{where}: fp32_optimizer_states") else dtype
