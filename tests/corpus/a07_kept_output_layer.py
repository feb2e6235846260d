"""The output layer of a feed-forward block is kept in float32, and what goes in is half.

Reported as huggingface/transformers#21281.
"""

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
    _keep_in_fp32_modules_strict = ["wo"]
    def __init__(self, config):
        super().__init__(config)
        self.embed, self.wi, self.wo = nn.Embedding(32, 8), nn.Linear(8, 16), nn.Linear(16, 8)
        self.post_init()
    def forward(self, input_ids):
        x = self.embed(input_ids)
        hidden = self.wi(x).relu()
        return x + self.wo(hidden)
"""
MENDED = "hidden = hidden.to(self.wo.weight.dtype)\n        return x + self.wo(hidden).to(x.dtype)"
STORED = {"embed.weight": (32, 8), "wi.weight": (16, 8), "wi.bias": (16,), "wo.weight": (8, 16), "wo.bias": (8,)}


def folder(path: Path, mended: bool) -> None:
    """What goes in is cast to the layer's dtype when mended, and what comes out is cast back."""
    write_folder(path, MODELING.replace("return x + self.wo(hidden)", MENDED) if mended else MODELING, STORED)


CASE = Case(
    report="huggingface/transformers#21281",
    kind=RAISES,
    folder=folder,
    cause="parameter wo.weight",
    fix="hidden states are cast to the layer's dtype",
    plan=Plan(device="cpu", dtype="float16"),
)
