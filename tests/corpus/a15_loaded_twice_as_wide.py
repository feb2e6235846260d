"""A checkpoint in bfloat16 is loaded in float32 by default: twice the memory, and no more precise.

Reported as RBLN-SW/optimum-rbln#567.
"""

from __future__ import annotations

from pathlib import Path

from analyzer.ir.plan import Plan
from tests.corpus.a_folder import write_folder
from tests.corpus.case import CPU, SILENT, Case

MODELING = """
from torch import nn
from transformers import PreTrainedModel
from .configuration_own import OwnConfig
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.embed, self.proj = nn.Embedding(32, 8), nn.Linear(8, 8, bias=False)
        self.post_init()
    def forward(self, input_ids):
        return self.proj(self.embed(input_ids))
"""


def folder(path: Path, mended: bool) -> None:
    """The config names float32."""
    write_folder(path, MODELING, {"embed.weight": (32, 8), "proj.weight": (8, 8)}, dtype="float32")


CASE = Case(
    report="RBLN-SW/optimum-rbln#567",
    kind=SILENT,
    folder=folder,
    code="DT401",
    severity="warning",
    cause="parameter proj.weight",
    fix="the dtype of the checkpoint is asked for",
    plan=CPU,
    mended_plan=Plan(device="cpu", dtype="bfloat16"),
)
