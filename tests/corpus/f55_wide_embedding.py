"""Preparation for k-bit training casts the embedding and the output layer to float32, and neither is trained.

Reported as unslothai/unsloth#1186.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from analyzer.ir.plan import Plan, Preparation
from tests.corpus.a_folder import write_folder
from tests.corpus.case import SILENT, Case

MODELING = """
from torch import nn
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    prepared = True
    def __init__(self, config):
        super().__init__(config)
        self.embed, self.head = nn.Embedding(2_000_000, 9), nn.Linear(9, 2_000_000, bias=False)
        self.post_init()
    def forward(self, input_ids):
        return self.head(self.embed(input_ids))
"""
SHAPE = (2_000_000, 9)


def folder(path: Path, mended: bool) -> None:
    """In bfloat16; the model is not prepared when mended."""
    code = MODELING.replace("prepared = True", "prepared = False") if mended else MODELING
    write_folder(path, code, {"embed.weight": SHAPE, "head.weight": SHAPE})


def prepared(module: nn.Module, inputs: dict[str, Any], _: Path) -> torch.Tensor:
    """The result of the model as peft prepares it, where it is to be prepared."""
    from peft import prepare_model_for_kbit_training

    if not module.prepared:
        return module(**inputs)  # type: ignore[no-any-return]
    module.is_loaded_in_4bit = True  # type: ignore[assignment]
    return prepare_model_for_kbit_training(module, use_gradient_checkpointing=False)(**inputs)  # type: ignore[no-any-return]


BFLOAT16 = Plan(device="cpu", dtype="bfloat16")
CASE = Case(
    report="unslothai/unsloth#1186",
    kind=SILENT,
    folder=folder,
    code="DT304",
    severity="warning",
    cause="parameter embed.weight",
    fix="the model is not prepared",
    plan=Plan(device="cpu", dtype="bfloat16", preparation=Preparation(by="peft", kbit=True)),
    mended_plan=BFLOAT16,
    really=prepared,
)
