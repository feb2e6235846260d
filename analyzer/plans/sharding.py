"""FSDP's keys, the same in TrainingArguments and accelerate but for a prefix."""

from __future__ import annotations

from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.plans.facts import section, truth, whole

_POLICIES: Final = {
    "TRANSFORMER_BASED_WRAP": "transformer", "SIZE_BASED_WRAP": "size", "NO_WRAP": "none",
}  # fmt: skip


def fsdp_facts(config: object, where: str, version: int, policy: str = "TRANSFORMER_BASED_WRAP") -> dict[str, object]:
    """Facts of an `fsdp_config`; `version` and `policy` are those meant where it says none."""
    said = {str(key).removeprefix("fsdp_"): value for key, value in section(config, where).items()}
    policy = str(said.get("auto_wrap_policy") or policy).upper()
    if policy not in _POLICIES:
        raise AnalyzerError(f"{where}: no auto_wrap_policy '{policy}'", hint=f"use one of {', '.join(_POLICIES)}")
    classes = said.get("transformer_layer_cls_to_wrap") or ()
    named = classes if isinstance(classes, (list, tuple)) else str(classes).split(",")
    facts: dict[str, object] = {
        "fsdp": True,
        "fsdp.version": whole(said.get("version"), f"{where}: version", version),
        "fsdp.policy": _POLICIES[policy],
        "fsdp.classes": tuple(str(name).strip() for name in named),
        "fsdp.min_params": whole(said.get("min_num_params"), f"{where}: min_num_params", 0),
        "fsdp.use_orig_params": truth(said.get("use_orig_params", True), f"{where}: use_orig_params"),
    }
    if truth(said.get("activation_checkpointing"), f"{where}: activation_checkpointing"):
        # accelerate's apply_activation_checkpointing: CheckpointImpl.NO_REENTRANT around each unit
        facts |= {"checkpointing": True, "reentrant": False}
    return facts
