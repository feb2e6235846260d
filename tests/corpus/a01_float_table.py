"""A position table made with `.float()` stays float32 under from_pretrained(dtype=bf16) (OpenBMB/MiniCPM-V#131)."""

from __future__ import annotations

from pathlib import Path

from analyzer.ir.plan import Plan
from tests.corpus.a_folder import write_folder
from tests.corpus.case import RAISES, Case

MODELING = """
import torch
from torch import nn
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, 8)
        self.pos_embed = nn.Parameter(torch.ones(8)FLOAT)
        self.proj = nn.Linear(8, 8)
        self.post_init()
    def forward(self, input_ids):
        return self.proj(self.embed(input_ids) + self.pos_embed)
"""
STORED = {"embed.weight": (32, 8), "pos_embed": (8,), "proj.weight": (8, 8), "proj.bias": (8,)}


def folder(path: Path, mended: bool) -> None:
    """The table follows the default dtype when mended."""
    write_folder(path, MODELING.replace("FLOAT", "" if mended else ".float()"), STORED)


CASE = Case(
    report="OpenBMB/MiniCPM-V#131",
    kind=RAISES,
    folder=folder,
    cause="parameter pos_embed",
    fix="the table is made in the default dtype",
    plan=Plan(device="cpu", dtype="bfloat16"),
)
