"""FSDP's keys, the same in TrainingArguments and accelerate but for a prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from analyzer.errors import AnalyzerError
from analyzer.plans.facts import truth

_POLICIES: Final = {
    "TRANSFORMER_BASED_WRAP": "transformer", "SIZE_BASED_WRAP": "size", "NO_WRAP": "none",
}  # fmt: skip


def fsdp_facts(config: Mapping[str, Any], where: str, version: int) -> dict[str, Any]:
    """Facts of an `fsdp_config`; `version` is the one meant where it says none."""
    said = {str(key).removeprefix("fsdp_"): value for key, value in config.items()}
    policy = str(said.get("auto_wrap_policy") or "TRANSFORMER_BASED_WRAP")
    if policy not in _POLICIES:
        raise AnalyzerError(f"{where}: no auto_wrap_policy '{policy}'", hint=f"use one of {', '.join(_POLICIES)}")
    classes = said.get("transformer_layer_cls_to_wrap") or ()
    named = classes.split(",") if isinstance(classes, str) else classes
    facts: dict[str, Any] = {
        "fsdp": True,
        "fsdp.version": int(said.get("version") or version),
        "fsdp.policy": _POLICIES[policy],
        "fsdp.classes": tuple(str(name).strip() for name in named),
        "fsdp.min_params": int(said.get("min_num_params") or 0),
        "fsdp.use_orig_params": truth(said.get("use_orig_params", True), f"{where}: use_orig_params"),
    }
    if truth(said.get("activation_checkpointing"), f"{where}: activation_checkpointing"):
        # accelerate's apply_activation_checkpointing: CheckpointImpl.NO_REENTRANT around each unit
        facts |= {"checkpointing": True, "reentrant": False}
    return facts
