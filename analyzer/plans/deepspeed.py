"""A DeepSpeed configuration, as a file or inside another recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer.ir.dtypes import parse_dtype
from analyzer.plans.deepspeed_masters import masters
from analyzer.plans.facts import ABSENT, AUTO, Facts, switch, truth, whole
from analyzer.plans.known_keys import known

_NOTHING: Final[Mapping[str, object]] = {}
"""A section that is not there."""
_MARKS: Final = ("zero_optimization", "train_micro_batch_size_per_gpu", "train_batch_size")
_OLD: Final = (
    "max_live_parameters", "max_reuse_distance", "gather_16bit_weights_on_model_save", "prefetch_bucket_size",
    "param_persistence_threshold", "stage3_gather_fp16_weights_on_model_save", "cpu_offload", "cpu_offload_params",
    "gather_fp16_weights_on_model_save",
)  # fmt: skip
"""Names without `stage3_` that pydantic takes by alias, and names of older versions."""
_FREE: Final = ("optimizer.params", "scheduler.params", "amp")
"""Sections whose keys are those of another library."""


def recognises(values: Mapping[str, object]) -> bool:
    """Whether these are the keys of a DeepSpeed configuration."""
    sections = [values.get(key) for key in ("bf16", "fp16")]
    return any(key in values for key in _MARKS) or any(isinstance(s, dict) and "enabled" in s for s in sections)


def read(values: Mapping[str, object], where: str) -> Facts:
    """The facts of a configuration; the switches may be AUTO."""
    bf16, fp16 = _section(values, "bf16", "bfloat16"), _section(values, "fp16")
    zero, types = _section(values, "zero_optimization"), _section(values, "data_types")
    autocast = _section(values, "torch_autocast")
    # DeepSpeedPlugin of accelerate puts its own stage, 2, for "auto"
    stage = 2 if zero.get("stage") == AUTO else whole(zero.get("stage"), f"{where}: stage", 0)
    facts: dict[str, object] = {"deepspeed": True, "deepspeed.stage": stage, **masters(values, stage, where)}
    for name, part in (("bf16", bf16), ("fp16", fp16)):
        given = part.get("enabled", ABSENT if part is _NOTHING else None)
        facts[f"deepspeed.{name}"] = given if given in (None, ABSENT) else switch(given, f"{where}: {name}.enabled")
    notes = [f"{where}: unknown key '{key}': no effect" for key in _unknown(values)]
    if truth(fp16.get("auto_cast"), f"{where}: fp16.auto_cast"):
        notes.append(f"{where}: fp16.auto_cast: casts positional inputs alone; the trace gives all by keyword")
    if truth(autocast.get("enabled"), f"{where}: torch_autocast.enabled"):
        facts["deepspeed.autocast"] = parse_dtype(str(autocast.get("dtype") or "bfloat16"))
    if truth(_section(values, "amp").get("enabled"), f"{where}: amp.enabled"):
        notes.append(f"{where}: amp (NVIDIA apex): not traced")
    for key, value in (
        ("deepspeed.communication_dtype", values.get("communication_data_type")),
        ("deepspeed.accumulation_dtype", types.get("grad_accum_dtype")),
    ):
        if value:
            facts[key] = parse_dtype(str(value))
    optimizer = _section(values, "optimizer").get("type")
    return Facts({**facts, **({"optimizer": str(optimizer)} if optimizer else {})}, tuple(notes))


def _section(values: Mapping[str, object], *names: str) -> Mapping[str, object]:
    found = next((values[name] for name in names if values.get(name) is not None), _NOTHING)
    return found if isinstance(found, Mapping) else {"enabled": found}


def _unknown(values: Mapping[str, object], path: str = "") -> list[str]:
    names = known("deepspeed")
    found: list[str] = []
    for key, value in values.items():
        inner = f"{path}.{key}" if path else str(key)
        if names and key not in names and key not in _OLD and not key.startswith("_"):
            found.append(inner)
        elif isinstance(value, Mapping) and inner not in _FREE:
            found += _unknown(value, inner)
    return found
