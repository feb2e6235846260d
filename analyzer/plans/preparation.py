"""What a recipe has its framework do to the loaded model: facts of each dialect, made into one Preparation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from analyzer.ir.dtypes import parse_dtype
from analyzer.ir.literal_types import LinearNames
from analyzer.ir.plan import Engine, Preparation, Wrap
from analyzer.plans.adapter_settings import bitsandbytes, of_axolotl, of_llama_factory, of_torchtune, of_trl
from analyzer.plans.facts import Facts, fact, section, truth, whole

_Values = Mapping[str, object]
_PREFIX: Final = "prepared."
"""Before the names of these facts."""
_FOLDERS: Final = ("lora_model_dir", "adapter_name_or_path")
_TRL: Final = "as trl 1.16 makes them (older ones ran peft's prepare_model_for_kbit_training)"


def trl(values: _Values, where: str) -> Facts:
    """`use_peft` and `load_in_4bit` as trl's scripts hand them to a trainer, and GRPO's `cast_lm_head_to_fp32`."""
    found: dict[str, object] = {}
    if truth(values.get("use_peft"), f"{where}: use_peft"):
        found["adapter"] = of_trl(values, where)
    dtype = _dtype(values.get("dtype", values.get("torch_dtype")))
    bits = _bits(values, where)
    if bits:
        storage = values.get("bnb_4bit_quant_storage")
        found["quantization"] = bitsandbytes(
            bits, dtype or "float32", bnb_4bit_quant_type=values.get("bnb_4bit_quant_type") or "nf4",
            **({"bnb_4bit_quant_storage": str(storage)} if storage else {}),
        )  # fmt: skip
    if truth(values.get("cast_lm_head_to_fp32"), f"{where}: cast_lm_head_to_fp32"):
        found["float_head"] = True
    notes = (f"{where}: adapter and quantisation: {_TRL}",) if found.keys() & {"adapter", "quantization"} else ()
    return _facts("TRL", found, notes)


def llama_factory(values: _Values, where: str) -> Facts:
    """`finetuning_type` and its keys, `quantization_bit`, `upcast_layernorm`; what is trained is widened."""
    found, notes = _tuned(values, where)
    packed, more = _packed(values, where)
    found |= packed
    if truth(values.get("upcast_layernorm"), f"{where}: upcast_layernorm"):
        found["upcast"] = True
    keeps = [truth(values.get(key), f"{where}: {key}") for key in ("pure_bf16", "use_badam")]
    found["widens"] = not any(keeps)
    return _facts("LLaMA-Factory", found, (*notes, *more))


def _tuned(values: _Values, where: str) -> tuple[dict[str, object], list[str]]:
    """What LLaMA-Factory trains: an adapter, or the model."""
    kind = str(values.get("finetuning_type") or "lora")
    if kind == "freeze":
        return {}, [f"{where}: finetuning_type freeze: traced as if all layers were trained"]
    noted = _folder(values, where)
    if kind not in ("lora", "oft") or noted:
        return {}, noted
    adapter = of_llama_factory(values, where)
    if "target_modules" in adapter:
        return {"adapter": adapter}, []
    frozen = truth(values.get("freeze_vision_tower", True), f"{where}: freeze_vision_tower")
    return {"adapter": adapter, "linear_names": "LLaMA-Factory" if frozen else "LLaMA-Factory, vision too"}, []


def _packed(values: _Values, where: str) -> tuple[dict[str, object], list[str]]:
    """What LLaMA-Factory's `quantization_bit` asks for."""
    halves = [key for key in ("bf16", "pure_bf16", "fp16") if truth(values.get(key), f"{where}: {key}")]
    dtype = "float16" if halves == ["fp16"] else "bfloat16" if halves else "float32"
    method = str(values.get("quantization_method") or "bnb").lower()
    bits = whole(values.get("quantization_bit"), f"{where}: quantization_bit", 0)
    if bits and (method not in ("bnb", "bitsandbytes") or bits not in (4, 8)):
        return {}, [f"{where}: quantization_bit: {bits} bits of {method}: not applied: give a quantised folder"]
    return {"quantization": bitsandbytes(bits, dtype, bnb_4bit_quant_storage=dtype)} if bits else {}, []


def axolotl(values: _Values, where: str) -> Facts:
    """`adapter` and its keys, `load_in_4bit` and `load_in_8bit` where the adapter goes with them."""
    found: dict[str, object] = {}
    notes: list[str] = []
    adapter = str(values.get("adapter") or "")
    if adapter in ("lora", "qlora"):
        notes += (folder := _folder(values, where))
        found["adapter"] = {} if folder else of_axolotl(values, where)
        if truth(values.get("lora_target_linear"), f"{where}: lora_target_linear"):
            found["linear_names"] = "axolotl"
    elif adapter:
        notes.append(f"{where}: adapter {adapter}: not applied: give --adapter DIR")
    bits = {"qlora": 4, "lora": 8}.get(adapter, 0)
    asked = _bits(values, where)
    if asked and asked == bits:
        found["bits"] = bits
    elif asked:
        notes.append(f"{where}: load_in_{asked}bit: no effect with adapter {adapter or 'none'}")
    plain = values.get("attn_implementation") in (None, "", "eager", "sdpa")
    flash = any(truth(values.get(key), f"{where}: {key}") for key in ("flash_attention", "xformers_attention"))
    found["halves"] = bool(adapter) or flash or not plain
    found["reference"] = str(values.get("rl")) in ("dpo", "ipo", "kto")
    config = values.get("fsdp_config")
    lean = config.get("cpu_ram_efficient_loading", config.get("fsdp_cpu_ram_efficient_loading")) if isinstance(
        config, Mapping
    ) else None  # fmt: skip
    found["lean"] = truth(lean, f"{where}: cpu_ram_efficient_loading")
    return _facts("axolotl", found, tuple(notes))


def torchtune(model: _Values, where: str) -> Facts:
    """A model builder `lora_*` or `qlora_*`: the adapter is in the dtype of everything else, and stays so."""
    name = str(model.get("_component_", "")).rpartition(".")[2]
    if not name.startswith(("lora_", "qlora_")):
        return Facts()
    note = f"{where}: {name}: torchtune's own layers are traced as peft's on transformers' model"
    notes = [note]
    if name.startswith("qlora_") or truth(model.get("quantize_base"), f"{where}: quantize_base"):
        notes.append(f"{where}: {name}: NF4 of torchao: the base is traced as if not quantised")
    return _facts("torchtune", {"adapter": of_torchtune(model, where)}, tuple(notes))


def preparation(said: _Values, engine: Engine | None, wrap: Wrap | None) -> Preparation | None:
    """What the framework does, given what wraps the model; None where there is nothing to do."""
    asked, by = _asked(said), fact(said, "prepared_by", str, "")
    if by not in _BY:
        return None
    common = Preparation(
        by=by,
        adapter=_section(asked.get("adapter")),
        quantization=_section(asked.get("quantization")),
        linear_names=_linear(asked.get("linear_names")),
    )
    made = _BY[by](common, asked, said, engine, wrap)
    return None if made == Preparation(by=by) else made


def keeps_adapter_dtype(said: _Values, engine: Engine | None) -> bool:
    """Whether the framework itself gives peft `autocast_adapter_dtype=False`.

    trl does under ZeRO-3, unless the model is quantised; torchtune knows no other dtype than the model's.
    """
    by, quantised = said.get("prepared_by"), _asked(said).get("quantization")
    zero3 = engine is not None and engine.stage == 3
    return by == "torchtune" or (by == "TRL" and zero3 and not quantised)


def _for_trl(made: Preparation, asked: _Values, said: _Values, engine: Engine | None, wrap: Wrap | None) -> Preparation:
    """trl/trainer/sft_trainer.py, and the other trainers alike: an adapter on a quantised base becomes bfloat16."""
    return replace(
        made,
        input_gradients=bool(made.adapter and said.get("checkpointing")),
        kbit_trained_dtype="bfloat16" if made.adapter else "",
        float_head=bool(asked.get("float_head")),
    )


def _for_llama_factory(
    made: Preparation, asked: _Values, said: _Values, engine: Engine | None, wrap: Wrap | None
) -> Preparation:
    """`init_adapter`: float32 for what is trained, unless ZeRO-3 has it; its checkpointing marks the inputs."""
    zero3 = engine is not None and engine.stage == 3 and not made.quantization
    return replace(
        made,
        widened=("norm vectors",) if asked.get("upcast") else (),
        input_gradients=bool(made.adapter and said.get("checkpointing")),
        trained_dtype="float32" if asked.get("widens") and not zero3 else "",
    )


def _for_axolotl(
    made: Preparation, asked: _Values, said: _Values, engine: Engine | None, wrap: Wrap | None
) -> Preparation:
    """`_configure_embedding_dtypes` and `_prepare_model_for_quantization` of src/axolotl/loaders/model.py.

    DPO and its kind leave the adapter to trl, which narrows it on a quantised base.
    """
    bits = fact(asked, "bits", int, 0)
    loaded = _dtype(said.get("load_dtype")) or "float32"
    quantization = bitsandbytes(bits, loaded, bnb_4bit_quant_storage="bfloat16") if bits else {}
    made = replace(
        made,
        quantization=quantization,
        input_gradients=bool(made.adapter),
        kbit_trained_dtype="bfloat16" if made.adapter and asked.get("reference") else "",
    )
    if wrap is not None:  # nothing is widened first; only 8 bits are prepared, unless memory is to be saved
        kbit = bits == 8 and not asked.get("lean")
        return replace(made, kbit=kbit, narrowed=("norms", "embeddings") if kbit else ())
    prepared = bool(bits) and not (engine is not None and engine.stage == 3)
    if loaded == "float32":
        return replace(made, kbit=prepared)
    return replace(
        made,
        widened=("norms", "gates", "embeddings"),
        kbit=prepared,
        narrowed=("norms", "embeddings") if asked.get("halves") else (),
    )


def _for_torchtune(
    made: Preparation, asked: _Values, said: _Values, engine: Engine | None, wrap: Wrap | None
) -> Preparation:
    return made


_BY: Final[
    dict[str, Callable[[Preparation, _Values, _Values, Engine | None, Wrap | None], Preparation]]
] = {
    "TRL": _for_trl,
    "LLaMA-Factory": _for_llama_factory,
    "axolotl": _for_axolotl,
    "torchtune": _for_torchtune,
}  # fmt: skip
"""Framework -> what it does with what a recipe asks for."""


def _facts(by: str, found: _Values, notes: tuple[str, ...]) -> Facts:
    named = {f"{_PREFIX}{key}": value for key, value in found.items()}
    return Facts({"prepared_by": by, **named} if named else {}, notes)


def _asked(said: _Values) -> _Values:
    return {key.removeprefix(_PREFIX): value for key, value in said.items() if key.startswith(_PREFIX)}


def _folder(values: _Values, where: str) -> list[str]:
    """A note where a recipe goes on with a saved adapter."""
    named = [key for key in _FOLDERS if values.get(key)]
    return [f"{where}: {key}: {values[key]} is not looked for: give --adapter DIR" for key in named]


def _bits(values: _Values, where: str) -> int:
    return next((bits for bits in (4, 8) if truth(values.get(f"load_in_{bits}bit"), f"{where}: load_in_{bits}bit")), 0)


def _dtype(value: object) -> str:
    return parse_dtype(str(value)) if value and str(value) != "auto" else ""


def _section(value: object) -> dict[str, object]:
    return dict(section(value, "preparation"))


def _linear(value: object) -> LinearNames:
    known: tuple[LinearNames, ...] = ("axolotl", "LLaMA-Factory", "LLaMA-Factory, vision too")
    return next((name for name in known if name == value), "")
