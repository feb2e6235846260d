"""A list of tensors to keep in float32 begins to match the query tokens of a half model.

Reported as huggingface/transformers#37068.
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
    _keep_in_fp32_modules_strict = ["query_tokens"]
    def __init__(self, config):
        super().__init__(config)
        self.query_tokens = nn.Parameter(torch.zeros(1, 4, 8))
        self.qformer = nn.Linear(8, 8)
        self.post_init()
    def forward(self, input_ids):
        return self.qformer(self.query_tokens)
"""
STORED = {"query_tokens": (1, 4, 8), "qformer.weight": (8, 8), "qformer.bias": (8,)}


def folder(path: Path, mended: bool) -> None:
    """The list names the linear as well when mended."""
    both = '["query_tokens", "qformer"]' if mended else '["query_tokens"]'
    write_folder(path, MODELING.replace('["query_tokens"]', both), STORED)


CASE = Case(
    report="huggingface/transformers#37068",
    kind=RAISES,
    folder=folder,
    cause="parameter query_tokens",
    fix="what reads the tokens is kept in float32 too",
    plan=Plan(device="cpu", dtype="float16"),
)
