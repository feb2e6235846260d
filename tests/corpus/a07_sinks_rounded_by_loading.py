"""A checkpoint in bfloat16 keeps attention sinks and router biases in float32, and loading rounds them.

Reported as huggingface/transformers#46167.
"""

from __future__ import annotations

from pathlib import Path

import torch

from analyzer.ir.plan import Plan
from tests.corpus.a_folder import write_folder
from tests.corpus.case import SILENT, Case

MODELING = """
import torch
from torch import nn
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    _keep_in_fp32_modules_strict = []
    def __init__(self, config):
        super().__init__(config)
        self.embed, self.router = nn.Embedding(32, 8), nn.Linear(8, 4, bias=False)
        self.router_bias = nn.Parameter(torch.zeros(4))
        self.post_init()
    def forward(self, input_ids):
        return (self.router(self.embed(input_ids)).float() + self.router_bias.float()).softmax(-1)
"""
BIAS = {"router_bias": torch.tensor([6.9, 6.91, 6.92, 6.93])}
"""In bfloat16 the first three are one number."""


def folder(path: Path, mended: bool) -> None:
    """The class keeps the bias in float32 when mended."""
    code = MODELING.replace("_strict = []", '_strict = ["router_bias"]') if mended else MODELING
    write_folder(path, code, {"embed.weight": (32, 8), "router.weight": (4, 8)}, BIAS)


CASE = Case(
    report="huggingface/transformers#46167",
    kind=SILENT,
    folder=folder,
    code="DT405",
    severity="warning",
    cause="parameter router_bias",
    fix="the class keeps it in float32",
    off=2e-3,
    plan=Plan(device="cpu", dtype="bfloat16"),
)
