"""A model is cast to bfloat16 after loading, its rotary frequencies with it, unlike one that is loaded so.

Reported as huggingface/transformers#30709.
"""

from __future__ import annotations

from pathlib import Path

from analyzer.ir.plan import Plan
from tests.corpus.a_folder import write_folder
from tests.corpus.case import SILENT, Case

MODELING = """
import torch
from torch import nn
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
class Rotary(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("inv_freq", 10000 ** -(torch.arange(4).float() / 4), persistent=False)
    def forward(self, positions):
        return (positions.float()[:, None] * self.inv_freq.float()).cos()
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.rotary, self.embed = Rotary(), nn.Embedding(32, 8)
        self.post_init()
    def _init_weights(self, module):
        if isinstance(module, Rotary):
            module.inv_freq.copy_(10000 ** -(torch.arange(4).float() / 4))
    def forward(self, input_ids):
        return self.embed(input_ids), self.rotary(1000 + input_ids[0])
"""


def folder(path: Path, mended: bool) -> None:
    """The same folder; only the plan differs."""
    write_folder(path, MODELING, {"embed.weight": (32, 8)})


CASE = Case(
    report="huggingface/transformers#30709",
    kind=SILENT,
    folder=folder,
    code="DT406",
    severity="warning",
    cause="parameter rotary.inv_freq",
    fix="the model is loaded in bfloat16, which leaves the table alone",
    off=0.03,
    plan=Plan(device="cpu", dtype="bfloat16", to="bfloat16"),
    mended_plan=Plan(device="cpu", dtype="bfloat16"),
)
