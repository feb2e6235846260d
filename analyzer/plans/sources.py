"""The registry of recipe kinds: each is recognised by its keys, and read into facts, with the files that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign import is_file
from analyzer.plans import accelerate, deepspeed, other_dialects, trainer
from analyzer.plans.facts import Facts, fact
from analyzer.plans.files import read_file
from analyzer.plans.sharding import fsdp_facts

_Values = Mapping[str, object]
SOURCES: Final[tuple[tuple[str, Callable[[_Values], bool], Callable[[_Values, str], Facts]], ...]] = (
    ("accelerate", accelerate.recognises, accelerate.read),
    ("torchtune", other_dialects.is_torchtune, other_dialects.read_torchtune),
    ("axolotl", other_dialects.is_axolotl, other_dialects.read_axolotl),
    ("LLaMA-Factory", other_dialects.is_llama_factory, other_dialects.read_llama_factory),
    ("PEFT's method comparison", other_dialects.is_comparison, other_dialects.read_comparison),
    ("DeepSpeed", deepspeed.recognises, deepspeed.read),
    ("TrainingArguments", trainer.recognises, trainer.read),
)
"""Name, what recognises it, what reads it; the first that recognises the keys is believed."""
_MODEL: Final = ("vocab_size", "hidden_size", "architectures", "num_hidden_layers", "d_model", "num_heads")


def read_recipe(file: Path) -> Facts:
    """The facts of a recipe and of the files it names. Raises AnalyzerError if it is none."""
    values = read_file(file)
    if _is_model_config(values):
        raise AnalyzerError(f"{file} is a model's config, not a recipe", hint="give the folder it is in as MODEL_DIR")
    for _, recognises, read in SOURCES:
        if recognises(values):
            facts = read(values, file.name)
            return _follow(Facts(facts.values, facts.notes, (file.name,)), file)
    keys = ", ".join(list(values)[:4])
    raise AnalyzerError(
        f"{file} is no recipe that is known here (its keys: {keys})",
        hint=f"known are {', '.join(name for name, _, _ in SOURCES)}",
    )


def _is_model_config(values: _Values) -> bool:
    return ("model_type" in values and any(key in values for key in _MODEL)) or (
        "transformers_version" in values and "architectures" in values
    )


def _follow(facts: Facts, file: Path) -> Facts:
    """Add what the files say that a recipe names; a missing one is said, since many people share recipes without."""
    values = dict(facts.values)
    engine, sharding = fact(values, "deepspeed_file", str, None), fact(values, "fsdp_file", str, None)
    for name in ("deepspeed_file", "fsdp_file"):
        values.pop(name, None)
    facts = Facts(values, facts.notes, facts.read)
    if engine is not None:
        inner = _beside(file, engine)
        if inner is None:
            # the recipe decides the precision then, which is what most such files ask for
            auto = {"deepspeed": True, "deepspeed.bf16": "auto", "deepspeed.fp16": "auto"}
            said = f"{file.name}: names {engine}, which is not there: its own dtypes are unknown"
            return Facts(auto).then(facts).then(Facts(notes=(said,)))
        found = deepspeed.read(read_file(inner), inner.name)
        return facts.then(Facts(found.values, found.notes, (inner.name,)))
    if sharding is not None:
        inner = _beside(file, sharding)
        if inner is None:
            return facts.then(
                Facts(fsdp_facts({}, sharding, 2), (f"{file.name}: names {sharding}, which is not there",))
            )
        return facts.then(Facts(fsdp_facts(read_file(inner), inner.name, 2), (), (inner.name,)))
    return facts


def _beside(file: Path, name: str) -> Path | None:
    """A file that a recipe names: relative to the recipe, else as the command sees it."""
    return next((path for path in (file.parent / name, Path(name)) if is_file(path)), None)
