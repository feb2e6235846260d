"""Small model folders with faults of dtype, and what really happens to one under a proposal."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from accelerate.utils.operations import convert_outputs_to_fp32
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModel

from analyzer.actions.fix import run_fix
from analyzer.actions.trace import run_trace
from analyzer.capture.tensor import dtype_name
from analyzer.ir.dtypes import parse_autocast
from analyzer.ir.fixes.proposals import Proposal, Trial
from analyzer.ir.plan import Plan, names
from analyzer.loaders.request import ModelRequest
from analyzer.oracle import words
from analyzer.running.output_tensors import leaves
from tests.conftest import forget_remote_code
from tests.corpus.a_folder import write_folder
from tests.versions import asked

BASE: Final = Plan(device="cpu", dtype="bfloat16")
_HEAD: Final = """
import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaConfig, LlamaModel, PreTrainedModel
from .configuration_own import OwnConfig
"""
_CLASS: Final = """
class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
{init}
        self.post_init()
    def forward(self, x):
{forward}
"""
_INPUTS: Final = """
import torch
def inputs(config):
    return {{"x": torch.ones(2, 3, 8, dtype=torch.{dtype})}}
"""


@dataclass(frozen=True)
class Own:
    """The body of a model's constructor and forward, classes before it, and the dtype of its input `x`."""

    init: str
    forward: str
    before: str = ""
    x: str = "bfloat16"

    def write(self, folder: Path) -> Path:
        """The folder with the model's code, its weights in bfloat16, and inputs of two rows of three by eight."""
        indented = (
            "\n".join(f"        {line}" for line in text.strip().splitlines()) for text in (self.init, self.forward)
        )
        init, forward = indented
        write_folder(folder, _HEAD + self.before + _CLASS.format(init=init, forward=forward), {})
        (folder / "analyze_inputs.py").write_text(_INPUTS.format(dtype=self.x))
        (folder / "model.safetensors").unlink()
        return folder


def weigh(folder: Path) -> None:
    """Write the weights of the model in the folder, in bfloat16."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    made = AutoModel.from_config(config, trust_remote_code=True)  # type: ignore[no-untyped-call]
    tensors = {name: tensor.bfloat16().contiguous() for name, tensor in made.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def trials(folder: Path, plan: Plan = BASE) -> list[Trial]:
    """What `analyze fix` tries."""
    return run_fix(ModelRequest(folder, trust_remote_code=True, inputs_file=folder / "analyze_inputs.py"), [plan])[1]


def said(folder: Path, plan: Plan) -> tuple[str, ...]:
    """The output dtypes that a trace says, or the words of its first error."""
    report = run_trace(ModelRequest(folder, plan, trust_remote_code=True, inputs_file=folder / "analyze_inputs.py"))
    errors = [finding.message for finding in report.findings if finding.severity == "error"]
    return (errors[0],) if errors else report.outputs


def really(folder: Path, plan: Plan) -> tuple[str, ...]:
    """The output dtypes of a real run with the weights of the folder, or the words of its error."""
    forget_remote_code()
    model = AutoModel.from_pretrained(folder, **asked(getattr(torch, plan.dtype or "float32")), trust_remote_code=True)
    if plan.to:
        model = model.to(getattr(torch, plan.to))
    for pattern, dtype in plan.set.items():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if names(pattern, name):
                tensor.data = tensor.data.to(getattr(torch, dtype))
    made: dict[str, Any] = {}
    exec((folder / "analyze_inputs.py").read_text(), made)
    given = {
        name: tensor.to(getattr(torch, plan.input_dtypes[name])) if name in plan.input_dtypes else tensor
        for name, tensor in made["inputs"](None).items()
    }
    model.eval()
    if plan.autocast:  # as Accelerate's prepare_model does it
        device, dtype = parse_autocast(plan.autocast)
        model.forward = convert_outputs_to_fp32(torch.autocast(device, getattr(torch, dtype))(model.forward))
    try:
        with torch.no_grad():
            return tuple(dtype_name(tensor.dtype) for tensor in leaves(model(**given)))
    except RuntimeError as error:
        return (words(error),)


def under(proposal: Proposal, folder: Path, copy: Path) -> Path:
    """A copy of the folder, weights and all, with the proposal's edits."""
    shutil.copytree(folder, copy)
    for edit in proposal.edits:
        (copy / edit.file).write_text(edit.after)
    return copy
