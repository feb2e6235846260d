"""Recipes of LLaMA-Factory, axolotl, torchtune and PEFT's method comparison, by what their documentation says.

None of the four is installed here, so what they do is not tested: each plan's notes say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer.plans import preparation
from analyzer.plans.facts import Facts, section, truth
from analyzer.plans.known_keys import concerns_precision
from analyzer.plans.optimizers import optimizer_facts
from analyzer.plans.trainer import checkpointing_facts, wrapping_facts

_UNDERSTOOD: Final = frozenset((
    "bf16", "fp16", "bfloat16", "float16", "tf32", "fp8", "pure_bf16", "dtype", "torch_dtype", "use_amp",
    "load_in_4bit", "load_in_8bit", "quantization_bit", "quantization_method", "autocast_adapter_dtype",
    "peft_autocast_adapter_dtype", "infer_dtype",
    "upcast_layernorm", "upcast_lmhead_output", "quantizer", "model_quantization_config",
    "model_quantization_config_kwargs", "fp8_enable_fsdp_float8_all_gather", "double_quantization",
))  # fmt: skip

_OWN_OPTIMIZERS: Final = ("galore", "apollo", "badam", "adam_mini", "muon")


def is_llama_factory(values: Mapping[str, object]) -> bool:
    """LLaMA-Factory names the stage of training and the kind of fine-tuning."""
    return (
        "finetuning_type" in values or {"stage", "do_train"} <= set(values) or {"template", "cutoff_len"} <= set(values)
    )


def read_llama_factory(values: Mapping[str, object], where: str) -> Facts:
    """model/loader.py of revision ff6d4d1 loads with dtype="auto"; model/adapter.py widens what is trained."""
    facts: dict[str, object] = {"trainer": True}
    bf16, fp16 = (truth(values.get(key), f"{where}: {key}") for key in ("bf16", "fp16"))
    facts |= {"bf16": bf16, "fp16": fp16}
    wrapping, notes = wrapping_facts(values, where)
    reentrant = truth(values.get("use_reentrant_gc", True), f"{where}: use_reentrant_gc")
    facts |= {"checkpointing": not truth(values.get("disable_gradient_checkpointing"), where), "reentrant": reentrant}
    prepared = preparation.llama_factory(values, where)
    facts |= {**wrapping, **optimizer_facts(values, _own_optimizer(values) or values.get("optim"), where)}
    facts |= prepared.values
    return Facts(facts, (_untested(where, "LLaMA-Factory"), *notes, *prepared.notes, *_strange(values, where)))


def is_axolotl(values: Mapping[str, object]) -> bool:
    """axolotl alone calls the model `base_model`."""
    return "base_model" in values or {"micro_batch_size", "sequence_len"} <= set(values)


def read_axolotl(values: Mapping[str, object], where: str) -> Facts:
    """`bf16` trains under autocast and loads in bf16; `full` and `bfloat16` use no autocast; `auto` asks the GPU."""
    facts: dict[str, object] = {"trainer": True}
    said = str(values.get("bf16") if values.get("bf16") is not None else "false").lower()
    full = said == "full"
    bf16 = said == "auto" or (not full and truth(said, f"{where}: bf16"))
    fp16 = truth(values.get("fp16"), f"{where}: fp16") and not bf16
    plain = {key: truth(values.get(key), f"{where}: {key}") for key in ("bfloat16", "float16")}
    facts |= {"bf16": bf16, "fp16": fp16}
    half = fp16 or plain["float16"] or truth(values.get("load_in_8bit"), where)
    facts["load_dtype"] = "bfloat16" if bf16 or full or plain["bfloat16"] else "float16" if half else "float32"
    notes = [f"{where}: bf16=auto: read as on, as on a GPU that has it"] if said == "auto" else []
    if truth(values.get("fp8"), f"{where}: fp8"):
        notes.append(f"{where}: fp8: traced without its fp8 layers")
    wrapping, more = wrapping_facts(values, where)
    prepared = preparation.axolotl(values, where)
    if values.get("peft_autocast_adapter_dtype") is not None:
        facts["autocast_adapter_dtype"] = truth(values["peft_autocast_adapter_dtype"], where)
    facts |= checkpointing_facts(values, where)
    facts |= {**wrapping, **optimizer_facts(values, values.get("optimizer"), where), **prepared.values}
    return Facts(facts, (_untested(where, "axolotl"), *notes, *more, *prepared.notes, *_strange(values, where)))


def is_torchtune(values: Mapping[str, object]) -> bool:
    """torchtune's sections name the component to call."""
    return any(isinstance(value, Mapping) and "_component_" in value for value in values.values())


def read_torchtune(values: Mapping[str, object], where: str) -> Facts:
    """torchtune builds the model under `set_default_dtype(dtype)` and uses no autocast."""
    facts: dict[str, object] = {"load_dtype": str(values.get("dtype") or "float32")}
    facts["checkpointing"] = truth(values.get("enable_activation_checkpointing"), where)
    facts["reentrant"] = False
    if str(values.get("device")) == "cpu":
        facts["use_cpu"] = True
    optimizer = section(values.get("optimizer"), f"{where}: optimizer")
    facts |= optimizer_facts(optimizer, str(optimizer.get("_component_", "")).rpartition(".")[2], where)
    prepared = preparation.torchtune(section(values.get("model"), f"{where}: model"), where)
    facts |= prepared.values
    return Facts(facts, (_untested(where, "torchtune"), *prepared.notes, *_strange(values, where)))


def is_comparison(values: Mapping[str, object]) -> bool:
    """PEFT's method comparison."""
    return {"model_id", "use_amp"} <= set(values)


def read_comparison(values: Mapping[str, object], where: str) -> Facts:
    """`dtype` loads the model, `use_amp` turns autocast on, `use_gc` gradient checkpointing."""
    facts: dict[str, object] = {"bf16": truth(values.get("use_amp"), f"{where}: use_amp")}
    if values.get("dtype"):
        facts["load_dtype"] = str(values["dtype"])
    facts["checkpointing"] = truth(values.get("use_gc"), f"{where}: use_gc")
    if values.get("autocast_adapter_dtype") is not None:
        facts["autocast_adapter_dtype"] = truth(values["autocast_adapter_dtype"], where)
    facts |= optimizer_facts(section(values.get("optimizer_kwargs"), where), values.get("optimizer_type"), where)
    return Facts(facts, (_untested(where, "PEFT's method comparison"), *_strange(values, where)))


def _own_optimizer(values: Mapping[str, object]) -> str:
    """LLaMA-Factory's switches for optimizers of its own, which take the place of the Trainer's."""
    return next((name for name in _OWN_OPTIMIZERS if values.get(f"use_{name}")), "")


def _untested(where: str, what: str) -> str:
    return f"{where}: read as {what} documents its keys: not compared with a run of it"


def _strange(values: Mapping[str, object], where: str) -> list[str]:
    return [
        f"{where}: unknown key '{key}': no effect"
        for key in values
        if concerns_precision(key) and key not in _UNDERSTOOD
    ]
