"""The YAML that `accelerate config` writes, of this and of older versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.plans.facts import AUTO, Facts, section, truth, whole
from analyzer.plans.known_keys import known
from analyzer.plans.sharding import fsdp_facts

_PRECISIONS: Final = ("no", "fp8", "fp16", "bf16")
_OLD: Final = ("fp16", "dynamo_backend", "ipex_config", "deepspeed_config_file", "fsdp_offload_params")
"""Keys of older versions that accelerate converts or drops."""


def recognises(values: Mapping[str, object]) -> bool:
    """Whether these are the keys of an accelerate configuration."""
    if "output_dir" in values:  # a saved TrainingArguments has a mixed_precision too
        return False
    own = "mixed_precision" in values and bool({"num_processes", "use_cpu", "machine_rank"} & set(values))
    return own or "compute_environment" in values or "distributed_type" in values


def read(values: Mapping[str, object], where: str) -> Facts:
    """The facts; `deepspeed_file` names a file that goes on."""
    # process_config of accelerate: the old `fp16: true` counts only where mixed_precision is absent
    old = "fp16" if truth(values.get("fp16"), f"{where}: fp16") else "no"
    said = values.get("mixed_precision", old)
    precision = str(said).lower() if said else "no"  # YAML reads a bare `no` as false
    if precision not in _PRECISIONS:
        raise AnalyzerError(f"{where}: no mixed_precision '{said}'", hint=f"use one of {', '.join(_PRECISIONS)}")
    kind = str(values.get("distributed_type") or "NO").upper()
    facts: dict[str, object] = {"launcher": precision}
    notes = _unknown(values, where)
    if truth(values.get("use_cpu"), f"{where}: use_cpu") or kind == "MULTI_CPU":
        facts["use_cpu"] = True
    if truth(values.get("downcast_bf16"), f"{where}: downcast_bf16"):
        notes.append(f"{where}: downcast_bf16: acts on TPUs alone")
    if precision == "fp8":
        notes.append(f"{where}: mixed_precision fp8: traced as bf16 autocast, without the fp8 layers of its backend")
    if kind == "FSDP":
        # accelerate launch sets FSDP_AUTO_WRAP_POLICY only if the file does; the plugin takes NO_WRAP then
        facts |= fsdp_facts(values.get("fsdp_config"), f"{where}: fsdp_config", version=1, policy="NO_WRAP")
    if kind == "MEGATRON_LM":
        notes.append(f"{where}: distributed_type MEGATRON_LM: its own mixed precision is not traced")
        facts["launcher"] = "no"  # Accelerator.__init__ leaves autocast to Megatron
    if kind == "DEEPSPEED":
        facts |= _deepspeed(values, where)
    return Facts(facts, tuple(notes))


def _unknown(values: Mapping[str, object], where: str) -> list[str]:
    names = known("accelerate")
    return [
        f"{where}: unknown key '{key}': accelerate refuses the file"
        for key in values
        if names and key not in names and key not in _OLD
    ]


def _deepspeed(values: Mapping[str, object], where: str) -> dict[str, object]:
    """DeepSpeedPlugin of accelerate 1.15 makes a configuration whose precision is the launcher's."""
    inner = section(values.get("deepspeed_config"), f"{where}: deepspeed_config")
    stage = whole(inner.get("zero_stage"), f"{where}: zero_stage", 2)
    facts: dict[str, object] = {
        "deepspeed": True,
        "deepspeed.stage": stage,
        "deepspeed.bf16": AUTO,
        "deepspeed.fp16": AUTO,
    }
    if file := inner.get("deepspeed_config_file"):
        facts["deepspeed_file"] = str(file)
    return facts
