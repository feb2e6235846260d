"""Complex tables: no fix takes their imaginary part away; every fix that is proved is run for real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from analyzer.actions.fix import run_fix
from analyzer.ir.dtypes import kind
from analyzer.ir.fixes.proposals import Edit, Proposal, Trial
from analyzer.ir.plan import Plan, names
from analyzer.loaders.request import ModelRequest

_FILE: Final = """
import torch
import torch.nn.functional as F
from torch import nn

def table():
    angles = torch.outer(torch.arange(4), torch.ones(4)).to({angles})
    return torch.polar(torch.ones_like(angles), angles)

class Rope(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("cis", table())

    def forward(self, q):
        return torch.view_as_real(torch.view_as_complex(q.reshape(4, 4, 2)) * self.cis).flatten(1)

class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(8, 8, dtype={weights}))

    def forward(self, z):
        return torch.mm(*(torch.view_as_real(z).flatten(1), self.w))  # no line to write a cast in

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(8, 8, dtype={weights}), nn.Linear(8, 8, dtype={weights})
        self.rope, self.turned = Rope(), Turned()
        self.register_buffer("cis", table())

    def forward(self, x, given):
        {body}

def build():
    net, x = Net(), torch.linspace(-2, 2, 32).reshape(4, 8).to({weights})
    with torch.no_grad():
        for number, one in enumerate(net.parameters()):
            one.copy_(torch.sin(number + torch.arange(one.numel())).reshape(one.shape))
    return net, {{"x": x, "given": table()}}
"""
_ROTATE: Final = "torch.view_as_real(torch.view_as_complex(self.q(x).reshape(4, 4, 2)) * {}).flatten(1)"
NOTHING: Final[Mapping[str, Any]] = {}


def _text(body: str, weights: str = "torch.float32", angles: str = "torch.float64") -> str:
    return _FILE.format(body=body.replace("\n", "\n        "), weights=weights, angles=angles)


MODELS: Final = {
    "a buffer": (_text(f"return {_ROTATE.format('self.cis')} @ self.k(x).T"), "cast cis to c64 once after loading"),
    "a narrow buffer": (
        _text("return torch.view_as_real(self.cis).flatten(1) @ self.k(x).T", "torch.float64", "torch.float32"),
        "cast cis to c128 once after loading",
    ),
    "an input": (_text(f"return {_ROTATE.format('given')} @ self.k(x).T"), "give input given in c64"),
    "in a component": (_text("return self.rope(self.q(x)) @ self.k(x).T"), "cast rope.cis to c64 once after loading"),
    "a module is given complex numbers": (
        _text("z = torch.view_as_complex(self.q(x).reshape(4, 4, 2)) * self.cis\nreturn self.turned(z)"),
        "return self.turned(z.to(torch.complex64))",
    ),
}
"""Name -> the file, and what is proved: the words of a set-up, or the line of a source."""


def _really(text: str, change: Mapping[str, Any] = NOTHING) -> torch.Tensor:
    made: dict[str, Any] = {}
    exec(text, made)
    net, inputs = made["build"]()
    for name, dtype in change.get("set", {}).items():
        for one, tensor in (*net.named_parameters(), *net.named_buffers()):
            if names(name, one):
                tensor.data = tensor.data.to(getattr(torch, dtype))
    for name, dtype in change.get("input_dtypes", {}).items():
        inputs[name] = inputs[name].to(getattr(torch, dtype))
    if to := change.get("to"):
        net = net.to(getattr(torch, to))
    with torch.no_grad():
        result: torch.Tensor = net(**inputs)
    return result.double()


def _tried(folder: Path, text: str, asked: tuple[Proposal, ...] = ()) -> list[Trial]:
    model = folder / "m.py"
    model.write_text(text)
    return run_fix(ModelRequest(model), [Plan(device="cpu")], asked=asked)[1]


def _near(found: torch.Tensor, truth: torch.Tensor) -> bool:
    return torch.allclose(found, truth, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_a_complex_tensor_is_cast_to_a_complex_dtype(name: str, tmp_path: Path) -> None:
    text, wanted = MODELS[name]
    with pytest.raises(RuntimeError):
        _really(text)
    truth = _really(text.replace("torch.float32", "torch.float64"))
    tried = _tried(tmp_path, text)
    proved = [trial for trial in tried if trial.clears]
    said = {trial.proposal.what for trial in proved}
    lines = {line.strip() for trial in proved for edit in trial.proposal.edits for line in edit.after.split("\n")}
    assert wanted in said | lines
    for trial in tried:
        assert "to" not in trial.proposal.change, trial.proposal.what
        assert trial.failed is None or trial.failed.kind != "loses an imaginary part", trial.proposal.what
        if trial.clears:
            file = trial.proposal.edits[0].after if trial.proposal.edits else text
            assert _near(_really(file, trial.proposal.change), truth), trial.proposal.what


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        ({"to": "float32"}, "", ""),
        ({"set": {"cis": "float32"}}, "", ""),
        ({}, "* self.cis", "* self.cis.to(torch.float32)"),
    ],
)
def test_what_takes_an_imaginary_part_away_runs_and_is_not_proved(
    change: dict[str, Any], before: str, after: str, tmp_path: Path
) -> None:
    text, _ = MODELS["a buffer"]
    edited = text.replace(f"{before})", f"{after})") if before else text
    assert not _near(_really(edited, change), _really(text.replace("torch.float32", "torch.float64")))
    edits = (Edit("m.py", 1, text, edited),) if before else ()
    asked = Proposal("source" if before else "model", "asked", change, edits=edits)
    (trial,) = [one for one in _tried(tmp_path, text, (asked,)) if one.proposal.what == "asked"]
    assert trial.failed is not None and trial.failed.kind == "loses an imaginary part", trial.verdict()
    assert not trial.proved


def test_no_half_dtype_is_one_for_complex_numbers(tmp_path: Path) -> None:
    text = _text(
        "z = torch.view_as_complex(self.q(x).float().reshape(4, 4, 2)) * self.cis\n"
        "y = torch.view_as_real(z).flatten(1)\nreturn self.k(y)",
        "torch.bfloat16",
        "torch.float32",
    )
    with pytest.raises(RuntimeError):
        _really(text)
    truth = _really(text.replace("torch.bfloat16", "torch.float64").replace("torch.float32", "torch.float64")
                    .replace(".float()", ".double()"))  # fmt: skip
    tried = _tried(tmp_path, text)
    for trial in tried:
        dtypes = [*trial.proposal.cast.values(), *trial.proposal.given.values(), trial.proposal.change.get("to", "")]
        assert not any(kind(str(dtype)) == "complex" for dtype in dtypes)
        assert "to" not in trial.proposal.change and "cis" not in trial.proposal.cast
    (best, *_) = tried
    assert best.clears
    (edit,) = best.proposal.edits
    assert torch.allclose(_really(edit.after), truth, atol=0.05, rtol=0.05)
