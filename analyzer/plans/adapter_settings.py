"""Reads the adapter and the quantisation that recipes of training frameworks ask for, as settings of peft and bnb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.plans.facts import truth, whole

_Values = Mapping[str, object]
_OFT: Final = ("task_type", "target_modules", "modules_to_save")
"""What OFT has in common with LoRA."""
_MLP: Final = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Adapter:
    """Which keys of a framework say what a LoRA is, and what holds where they are absent."""

    rank: str
    rank_default: int
    targets: str
    modules_to_save: str
    dora: str
    rslora: str
    default: dict[str, object] = field(default_factory=dict)

    def read(self, values: _Values, where: str) -> dict[str, object]:
        """The arguments of `LoraConfig`. Raises AnalyzerError for values of another kind."""
        rank = whole(values.get(self.rank), f"{where}: {self.rank}", self.rank_default)
        found: dict[str, object] = {"peft_type": "LORA", "r": rank, **self.default}
        found["lora_alpha"] = number(values.get("lora_alpha"), f"{where}: lora_alpha", 2 * rank)
        found["lora_dropout"] = number(values.get("lora_dropout"), f"{where}: lora_dropout", 0.0)
        targets = names(values.get(self.targets), f"{where}: {self.targets}")
        saved = names(values.get(self.modules_to_save), f"{where}: {self.modules_to_save}")
        for name, given in (("target_modules", targets), ("modules_to_save", _listed(saved))):
            if given:
                found[name] = given
        for name, key in (("use_dora", self.dora), ("use_rslora", self.rslora)):
            if truth(values.get(key), f"{where}: {key}"):
                found[name] = True
        return found


TRL: Final = Adapter("lora_r", 16, "lora_target_modules", "lora_modules_to_save", "use_dora", "use_rslora")
LLAMA_FACTORY: Final = Adapter("lora_rank", 8, "lora_target", "additional_target", "use_dora", "use_rslora")
AXOLOTL: Final = Adapter(
    "lora_r", 8, "lora_target_modules", "lora_modules_to_save", "peft_use_dora", "peft_use_rslora"
)  # fmt: skip


def of_trl(values: _Values, where: str) -> dict[str, object]:
    """As `get_peft_config` of trl 1.16 makes it of a `ModelConfig`.

    Its `__post_init__` takes the only item out of a list, and peft takes one name for a regular expression of paths.
    """
    found = {**TRL.read({"lora_alpha": 32, "lora_dropout": 0.05, **values}, where)}
    targets = found.get("target_modules")
    if isinstance(targets, list) and len(targets) == 1:
        found["target_modules"] = targets[0]
    return found | {"task_type": str(values.get("lora_task_type") or "CAUSAL_LM")}


def of_llama_factory(values: _Values, where: str) -> dict[str, object]:
    """As `_setup_lora_tuning` of src/llamafactory/model/adapter.py makes it (revision ff6d4d1); OFT as well.

    `lora_target: all`, the default, is left to the model. PiSSA changes values, not dtypes, and is left out.
    """
    found = LLAMA_FACTORY.read(values, where) | {"task_type": "CAUSAL_LM"}
    if found.get("target_modules", "all") in ("all", ["all"]):
        found.pop("target_modules", None)
    elif isinstance(found["target_modules"], str):
        found["target_modules"] = [name.strip() for name in str(found["target_modules"]).split(",")]
    if str(values.get("finetuning_type")) == "oft":
        kept: dict[str, object] = {key: found[key] for key in _OFT if key in found}
        rank = whole(values.get("oft_rank"), f"{where}: oft_rank", 0)
        block = whole(values.get("oft_block_size"), f"{where}: oft_block_size", 32)
        return {"peft_type": "OFT", "r": rank, "oft_block_size": block, **kept}
    return found


def of_axolotl(values: _Values, where: str) -> dict[str, object]:
    """As `_build_peft_lora_config` of src/axolotl/loaders/adapter.py makes it (revision 067b021)."""
    found = AXOLOTL.read(values, where)
    for key in ("lora_target_parameters", "peft_layers_to_transform", "lora_exclude_modules"):
        if values.get(key):
            name = key.removeprefix("peft_").removeprefix("lora_")
            found[name] = values[key]
    reward = truth(values.get("reward_model"), f"{where}: reward_model")
    return found | {"task_type": "SEQ_CLS" if reward else "CAUSAL_LM"}


def of_torchtune(model: _Values, where: str) -> dict[str, object]:
    """The keys of a `lora_*` builder of torchtune (revision bd2a0fc), in the names that transformers has."""
    listed = names(model.get("lora_attn_modules"), f"{where}: lora_attn_modules")
    targets = ["o_proj" if name == "output_proj" else name for name in _listed(listed)]
    targets += _MLP if truth(model.get("apply_lora_to_mlp"), f"{where}: apply_lora_to_mlp") else ()
    targets += ["lm_head"] if truth(model.get("apply_lora_to_output"), f"{where}: apply_lora_to_output") else []
    rank = whole(model.get("lora_rank"), f"{where}: lora_rank", 8)
    found: dict[str, object] = {"peft_type": "LORA", "r": rank, "target_modules": targets, "task_type": "CAUSAL_LM"}
    return found | {"lora_alpha": number(model.get("lora_alpha"), f"{where}: lora_alpha", 2 * rank)}


def bitsandbytes(bits: int, dtype: object, **more: object) -> dict[str, object]:
    """A `quantization_config` for 4 or 8 bits; `dtype` is what 4-bit layers compute in."""
    found: dict[str, object] = {"quant_method": "bitsandbytes", f"load_in_{bits}bit": True}
    if bits == 4:
        found |= {"bnb_4bit_compute_dtype": dtype, "bnb_4bit_quant_type": "nf4", **more}
    return found


def names(value: object, where: str) -> str | list[str]:
    """A name, a pattern, or a list of names; nothing is ""."""
    if value is None or value == "":
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return list(value)
    raise AnalyzerError(f"{where}: {value} is no list of names", hint="for example [q_proj, v_proj]")


def number(value: object, where: str, default: float) -> float:
    """A number, in digits or as a word of digits; nothing is the default."""
    if value is None or value == "":
        return default
    try:
        return float(value) if isinstance(value, str) else float(value + 0)  # type: ignore[operator]
    except (TypeError, ValueError) as error:
        raise AnalyzerError(f"{where}: '{value}' is no number", hint=f"for example {default}") from error


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [name.strip() for name in value.split(",") if name.strip()]
