"""Hugging Face TrainingArguments: as JSON or YAML, as saved by a Trainer, or in a script's YAML (trl and its like)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign import parse_json
from analyzer.plans import deepspeed, preparation
from analyzer.plans.facts import Facts, section, truth, whole
from analyzer.plans.known_keys import concerns_precision, known
from analyzer.plans.optimizers import optimizer_facts
from analyzer.plans.sharding import fsdp_facts

_SWITCHES: Final = ("bf16", "fp16", "bf16_full_eval", "fp16_full_eval", "use_cpu")
_OURS: Final = frozenset((
    *_SWITCHES, "gradient_checkpointing", "gradient_checkpointing_kwargs", "activation_checkpointing",
    "activation_checkpointing_kwargs", "optim", "deepspeed", "fsdp", "fsdp_config", "tf32", "no_cuda", "torch_dtype",
    "dtype", "load_in_4bit", "load_in_8bit", "use_peft", "lora_r", "half_precision_backend", "fp16_backend",
    "fp16_opt_level", "bnb_4bit_compute_dtype", "bnb_4bit_quant_type", "bnb_4bit_quant_storage", "use_bnb_nested_quant",
    "cast_lm_head_to_fp32",
    # what a saved training_args.bin holds besides
    "mixed_precision", "distributed_state", "deepspeed_plugin", "hf_deepspeed_config", "fsdp_plugin_args",
    "xla_fsdp_config",
))  # fmt: skip
_SCRIPT: Final = frozenset((  # arguments of the scripts of trl, alignment-handbook, open-r1 and peft, none of precision
    "model_name_or_path", "model_revision", "attn_implementation", "trust_remote_code", "chat_template", "eos_token",
    "lora_alpha", "lora_dropout", "lora_target_modules", "lora_modules_to_save", "lora_task_type", "use_rslora",
    "use_dora", "max_length", "max_seq_length", "max_prompt_length", "max_completion_length", "packing",
    "packing_strategy", "padding_free", "assistant_only_loss", "beta", "loss_type", "num_generations", "reward_funcs",
    "reward_weights", "temperature", "top_p", "use_vllm", "log_completions", "system_prompt", "code_language",
    "evaluation_strategy", "group_by_length", "overwrite_output_dir", "logging_dir", "warmup_ratio",
))  # fmt: skip
_OBJECTS: Final = ("fsdp_config", "deepspeed", "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
_SCRIPT_PARTS: Final = ("dataset", "hub_", "vllm_", "wandb_", "code_eval_", "benchmarks", "callbacks")
_PER_DIALECT_MARKS: Final = frozenset(("bf16", "fp16", "per_device_train_batch_size", "learning_rate"))


def recognises(values: Mapping[str, object]) -> bool:
    """Whether any of these keys is one of TrainingArguments; anything else would have been recognised before."""
    return bool((known("trainer") or _PER_DIALECT_MARKS) & set(values)) or bool(_OURS & set(values))


def read(values: Mapping[str, object], where: str) -> Facts:
    """The facts of TrainingArguments; `deepspeed_file` and `fsdp_file` name files that go on."""
    values = {key: _parsed(value, f"{where}: {key}") if key in _OBJECTS else value for key, value in values.items()}
    facts: dict[str, object] = {"trainer": True}
    facts |= {key: truth(values[key], f"{where}: {key}") for key in _SWITCHES if key in values}
    facts |= checkpointing_facts(values, where)
    notes: list[str] = []
    if truth(values.get("no_cuda"), f"{where}: no_cuda"):
        facts["use_cpu"] = True
    facts |= optimizer_facts(values, values.get("optim"), where)
    dtype = values.get("dtype", values.get("torch_dtype"))
    if dtype and str(dtype) != "auto":  # trl's ModelConfig hands it to from_pretrained(dtype=...)
        facts["load_dtype"] = str(dtype)
    for key in ("half_precision_backend", "fp16_backend", "fp16_opt_level"):
        if values.get(key) not in (None, "auto", "O1"):
            notes.append(f"{where}: {key}={values[key]}: no effect in transformers 5, which uses torch's autocast")
    shared, more = wrapping_facts(values, where)
    prepared = preparation.trl(values, where)
    return Facts({**facts, **shared, **prepared.values}, (*notes, *more, *prepared.notes, *_unknown(values, where)))


def checkpointing_facts(values: Mapping[str, object], where: str) -> dict[str, object]:
    """Gradient checkpointing; the names that start with `activation_` are newer ones, and win."""
    facts: dict[str, object] = {}
    for name in ("gradient_checkpointing", "activation_checkpointing"):
        if values.get(name) is not None:
            facts["checkpointing"] = truth(values[name], f"{where}: {name}")
        inner = section(values.get(f"{name}_kwargs"), f"{where}: {name}_kwargs")
        if inner.get("use_reentrant") is not None:
            facts["reentrant"] = truth(inner["use_reentrant"], f"{where}: use_reentrant")
    return facts


def wrapping_facts(values: Mapping[str, object], where: str) -> tuple[dict[str, object], tuple[str, ...]]:
    """What `deepspeed`, `fsdp` and `fsdp_config` say, or the names of the files that say it."""
    engine, sharding = values.get("deepspeed"), values.get("fsdp")
    if isinstance(engine, Mapping):
        inside = deepspeed.read(engine, f"{where}: deepspeed")
        return dict(inside.values), inside.notes
    if engine:
        if not isinstance(engine, str):
            raise AnalyzerError(f"{where}: deepspeed: '{engine}' names no file", hint="give a file, or the keys in it")
        return {"deepspeed_file": engine}, ()
    config = values.get("fsdp_config") or {}
    # TrainingArguments fill fsdp_config with defaults even where fsdp is off; axolotl may give `fsdp_version` alone
    if not (sharding or (config and "fsdp_version" in values)):
        return {}, ()
    if isinstance(config, str):
        return {"fsdp_file": config}, ()
    version = whole(values.get("fsdp_version"), f"{where}: fsdp_version", 2)
    return fsdp_facts(config, f"{where}: fsdp_config", version), ()


def _parsed(value: object, where: str) -> object:
    """What `_VALID_DICT_FIELDS` of TrainingArguments may be: an object, or its JSON as a string."""
    if not (isinstance(value, str) and value.startswith("{")):
        return value
    return parse_json(value, where, "correct it, or write its keys below")


def strange_keys(values: Mapping[str, object]) -> list[str]:
    """Keys that neither TrainingArguments nor the usual scripts know; none where transformers' own are not known."""
    names = known("trainer") | _OURS | _SCRIPT if known("trainer") else None
    return [key for key in values if names and key not in names and not key.startswith(_SCRIPT_PARTS)]


def _unknown(values: Mapping[str, object], where: str) -> list[str]:
    strange = strange_keys(values)
    if len(strange) > len(values) / 2:  # the state of an object, or a script of another kind: name what matters
        strange = [key for key in strange if concerns_precision(key)]
    return [f"{where}: unknown key '{key}': no effect" for key in strange]
