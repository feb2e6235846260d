"""What recipes say of the optimizer: its name, its learning rate and beta2, and whether it compensates rounding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from analyzer.plans.facts import truth

DEFAULT: Final = "adamw_torch"
"""What the Trainer takes where a recipe names none; newer releases take its fused form, in the same dtypes."""
_BETA2: Final = ("adam_beta2", "optimizer_beta2")
_COMPENSATES: Final = ("bf16_stochastic_round", "kahan_sum", "use_kahan_summation")
"""Arguments of optimizers, as `optim_args` has them."""


def optimizer_facts(values: Mapping[str, object], name: object, where: str) -> dict[str, object]:
    """The facts `optimizer`, `optimizer.learning_rate`, `.beta2` and `.compensated`, as far as a recipe gives them."""
    facts: dict[str, object] = {"optimizer": str(name)} if name else {}
    given = {
        "optimizer.learning_rate": _number(values.get("learning_rate", values.get("lr"))),
        "optimizer.beta2": next((found for key in _BETA2 if (found := _number(values.get(key)))), 0.0),
    }
    facts |= {key: number for key, number in given.items() if number}
    arguments = _arguments(values.get("optim_args"))
    if any(truth(arguments.get(key), f"{where}: optim_args: {key}") for key in _COMPENSATES):
        facts["optimizer.compensated"] = True
    return facts


def _number(value: object) -> float:
    """A number however YAML spells it (`1e-5` without a dot is a string there); 0 for `auto` and the like."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else 0.0
    except ValueError:
        return 0.0


def _arguments(value: object) -> dict[str, object]:
    """`optim_args`: `key=value,...` in TrainingArguments, keys below it in axolotl."""
    if isinstance(value, Mapping):
        return {str(key): one for key, one in value.items()}
    pairs = (part.partition("=") for part in str(value or "").split(","))
    return {key.strip(): one.strip() for key, sign, one in pairs if sign}
