"""Training set-ups and plans for the small Llama."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.fuzzing.inputs import Seed
from tests.fuzzing.seeds.configs import tiny

_OURS: Final = Path(__file__).parents[3] / "samples" / "recipes"
_SHARED: Final = Path(__file__).parents[4] / "shared" / "recipes"
"""Published recipes, where they lie beside the repository."""
_LARGEST: Final = 20_000


def _recipe(file: Path) -> Seed:
    """The recipe, with the DeepSpeed settings that it may name beside it."""
    name = f"setup{file.suffix}"
    files = {**tiny(), name: file.read_bytes(), "zero2.json": (_OURS / "zero2.json").read_bytes()}
    return Seed(files, ("trace", "model", "--recipe", name), (name, name, "zero2.json"))


def _arguments() -> Seed:
    import io

    import torch
    from transformers import TrainingArguments

    target = io.BytesIO()
    torch.save(TrainingArguments(output_dir="out", bf16=True, use_cpu=True, report_to=[]), target)
    files = {**tiny(), "training_args.bin": target.getvalue()}
    return Seed(files, ("trace", "model", "--recipe", "training_args.bin"), ("training_args.bin",))


def _plan(plan: Any) -> Seed:
    files = {**tiny(), "plan.json": json.dumps(plan).encode()}
    return Seed(files, ("trace", "model", "--plan", "plan.json"), ("plan.json",))


_FILES: Final = [
    *sorted(path for path in _OURS.iterdir()),
    *sorted(path for path in _SHARED.rglob("*") if path.suffix in (".json", ".yaml", ".yml")),
]
RECIPES: Final[dict[str, Callable[[], Seed]]] = {
    **{f"{file.parent.name}/{file.name}": partial(_recipe, file) for file in _FILES if file.stat().st_size < _LARGEST},
    **{f"training_args {number}": _arguments for number in range(12)},
}
PLANS: Final = {
    str(number): partial(_plan, plan)
    for number, plan in enumerate(
        (
            {"to": "bfloat16"},
            {"dtype": "float16", "set": {"model.layers.*": "float32"}},
            {"autocast": "cuda:bfloat16", "scope": "forward", "train": True},
            [{"to": "bfloat16", "stage": "train", "train": True}, {"stage": "eval", "to": "bfloat16"}],
            {"train": True, "training": {"mixed_precision": "bf16", "optimizer": "adamw_torch", "checkpointing": True,
                                         "fsdp": {"version": 2, "classes": ["LlamaDecoderLayer"]}}},
            {"train": True, "training": {"deepspeed": {"stage": 2, "dtype": "bfloat16"}},
             "preparation": {"adapter": {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}, "by": "peft"}},
        )
    )
}  # fmt: skip
