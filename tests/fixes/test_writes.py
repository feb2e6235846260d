"""Writes in place: a fix casts what is written; every fix that is proved is run for real and writes what it should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from analyzer.actions.fix import run_fix
from analyzer.actions.trace import run_trace
from analyzer.ir.fixes.proposals import Edit, Proposal, Trial
from analyzer.ir.plan import Plan, names
from analyzer.loaders.request import ModelRequest

_FILE: Final = """
import torch
import torch.nn.functional as F
from torch import nn

@torch.library.custom_op("of_the_test::put", mutates_args=("into",))
def put(into: torch.Tensor, idx: torch.Tensor, value: torch.Tensor) -> None:
    into.index_add_(0, idx, value)

class Store(nn.Module):
    def forward(self, into, value):
        into.index_copy_(0, torch.arange(2), value)
        return into * 2

class Net(nn.Module):
    def __init__(s):
        super().__init__()
        s.l = nn.Linear(8, 8, dtype=torch.bfloat16)
        s.store = Store()
        s.register_buffer("held", torch.zeros(4, 8))
        s.register_buffer("mean", torch.zeros(8))
        s.register_buffer("var", torch.ones(8))

    def forward(s, x, idx, cache):
        {body}

def build():
    torch.manual_seed(0)
    x = torch.randn(2, 8).to(torch.bfloat16)
    return Net(), {{"x": x, "idx": torch.tensor([2, 0]), "cache": torch.zeros(4, 8)}}
"""
PLAN: Final = Plan(device="cpu")
NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True)
class Case:
    """What forward does before, in and after the line that is refused; that line mended, and with its receiver cast."""

    before: str
    line: str
    after: str
    mended: str
    lost: str = ""

    @property
    def text(self) -> str:
        lines = [line for line in (self.before, self.line, self.after) if line]
        return _FILE.format(body="\n        ".join(lines))

    @property
    def truth(self) -> list[torch.Tensor]:
        """What the model gives with everything in float32."""
        text = self.text.replace(".double()", ".float()")
        return _really(text.replace("bfloat16", "float32").replace("torch.float16", "torch.float32"))


CASES: Final = {
    "added to a local": Case(
        "out = torch.zeros(4, 8)",
        "out.index_add_(0, idx, s.l(x))",
        "return out",
        mended="out.index_add_(0, idx, s.l(x).to(out.dtype))",
        lost="out.to(torch.bfloat16).index_add_(0, idx, s.l(x))",
    ),
    "copied into an input": Case(
        "",
        "cache.index_copy_(0, torch.arange(2), s.l(x))",
        "return cache.sum(0)",
        mended="cache.index_copy_(0, torch.arange(2), s.l(x).to(cache.dtype))",
        lost="cache.to(torch.bfloat16).index_copy_(0, torch.arange(2), s.l(x))",
    ),
    "copied into a buffer": Case(
        "",
        "s.held.index_copy_(0, idx, s.l(x))",
        "return s.held.sum(0)",
        mended="s.held.index_copy_(0, idx, s.l(x).to(s.held.dtype))",
        lost="s.held.to(torch.bfloat16).index_copy_(0, idx, s.l(x))",
    ),
    "into an input that is not read": Case(
        "",
        "cache.index_copy_(0, idx, s.l(x))",
        "return x",
        mended="cache.index_copy_(0, idx, s.l(x).to(cache.dtype))",
        lost="cache.to(torch.bfloat16).index_copy_(0, idx, s.l(x))",
    ),
    "through a view": Case(
        "out = torch.zeros(8, 4)",
        "out.t().index_add_(0, idx, s.l(x))",
        "return out * 2",
        mended="out.t().index_add_(0, idx, s.l(x).to(torch.float32))",
        lost="out.t().to(torch.bfloat16).index_add_(0, idx, s.l(x))",
    ),
    "scattered": Case(
        "out, v, at = torch.zeros(4, 8), s.l(x), idx[:, None].expand(2, 8)",
        "out.scatter_(0, at, v)",
        "return out",
        mended="out.scatter_(0, at, v.to(out.dtype))",
        lost="out.to(torch.bfloat16).scatter_(0, at, v)",
    ),
    "masked": Case(
        "out, mask = torch.zeros(2, 8), torch.ones(2, 8).bool()",
        "out.masked_scatter_(mask, s.l(x))",
        "return out",
        mended="out.masked_scatter_(mask, s.l(x).to(out.dtype))",
        lost="out.to(torch.bfloat16).masked_scatter_(mask, s.l(x))",
    ),
    "multiplied into": Case(
        "v, out = s.l(x), torch.zeros(2, 2)",
        "out.addmm_(v, v.t())",
        "return out",
        mended="out.addmm_(v.to(out.dtype), v.t().to(out.dtype))",
        lost="out.to(torch.bfloat16).addmm_(v, v.t())",
    ),
    "by index": Case(
        "out = torch.zeros(4, 8)",
        "out[idx] = s.l(x)",
        "return out",
        mended="out[idx] = s.l(x).to(out.dtype)",
    ),
    "into out": Case(
        "v, out = s.l(x), torch.zeros(2, 2)",
        "torch.mm(v, v.t(), out=out)",
        "return out + 1",
        mended="torch.mm(v.to(out.dtype), v.t().to(out.dtype), out=out)",
        lost="torch.mm(v, v.t(), out=out.to(torch.bfloat16))",
    ),
    "by the operator's own name": Case(
        "out = torch.zeros(4, 8)",
        "torch.ops.aten.index_add_(out, 0, idx, s.l(x))",
        "return out",
        mended="torch.ops.aten.index_add_(out, 0, idx, s.l(x).to(out.dtype))",
        lost="torch.ops.aten.index_add_(out.to(torch.bfloat16), 0, idx, s.l(x))",
    ),
    "by an operator of one's own": Case(
        "out = torch.zeros(4, 8)",
        "put(out, idx, s.l(x))",
        "return out",
        mended="put(out, idx, s.l(x).to(out.dtype))",
        lost="put(out.to(torch.bfloat16), idx, s.l(x))",
    ),
    "by a function": Case(
        "out = torch.zeros(4, 8)",
        "torch.index_put_(out, (idx,), s.l(x))",
        "return out",
        mended="torch.index_put_(out, (idx,), s.l(x).to(out.dtype))",
        lost="torch.index_put_(out.to(torch.bfloat16), (idx,), s.l(x))",
    ),
    "statistics of a batch": Case(
        "wide = s.l(x).double()",
        "v = F.batch_norm(wide, s.mean, s.var, training=True)",
        "return v.sum(0) * 0 + s.mean",
        mended="v = F.batch_norm(wide.to(s.mean.dtype), s.mean, s.var, training=True)",
        lost="v = F.batch_norm(wide, s.mean.double(), s.var.double(), training=True)",
    ),
    "halves into halves of the other kind": Case(
        "out = torch.zeros(4, 8, dtype=torch.float16)",
        "out.index_add_(0, idx, s.l(x))",
        "return out",
        mended="out.index_add_(0, idx, s.l(x).to(out.dtype))",
        lost="out.to(torch.bfloat16).index_add_(0, idx, s.l(x))",
    ),
    "by a module": Case(
        "",
        "v = s.store(cache, s.l(x))",
        "return v",
        mended="into.index_copy_(0, torch.arange(2), value.to(into.dtype))",
        lost="v = s.store(cache.to(torch.bfloat16), s.l(x))",
    ),
}


def _really(text: str, change: Mapping[str, Any] = NOTHING) -> list[torch.Tensor]:
    """What a file's model gives, and what it leaves in the input and the buffer that it may write into."""
    made: dict[str, Any] = {}
    exec(text, made)
    net, inputs = made["build"]()
    held = dict((*net.named_parameters(), *net.named_buffers()))
    for name, dtype in change.get("set", {}).items():
        for one in (key for key in held if names(name, key)):
            held[one].data = held[one].data.to(getattr(torch, dtype))
    if to := change.get("to"):
        net = net.to(getattr(torch, to))
    for name, dtype in change.get("input_dtypes", {}).items():
        inputs[name] = inputs[name].to(getattr(torch, dtype))
    half = str(change.get("autocast") or "cpu:bfloat16").partition(":")[2]
    with torch.no_grad(), torch.autocast("cpu", getattr(torch, half), enabled="autocast" in change):
        result = net(**inputs)
    return [result.float(), inputs["cache"].float(), net.held.float()]


def _tried(folder: Path, text: str, asked: tuple[Proposal, ...] = ()) -> list[Trial]:
    model = folder / "m.py"
    model.write_text(text)
    return run_fix(ModelRequest(model), [PLAN], asked=asked)[1]


def _same(found: list[torch.Tensor], truth: list[torch.Tensor]) -> bool:
    return all(torch.allclose(one, other, atol=0.05, rtol=0.05) for one, other in zip(found, truth, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_every_proved_fix_writes_what_the_model_writes_in_float32(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with pytest.raises(RuntimeError):
        _really(case.text)
    truth = case.truth
    assert any(one.any() for one in truth)
    tried = _tried(tmp_path, case.text)
    proved = [trial for trial in tried if trial.clears]
    texts = [edit.after for trial in proved for edit in trial.proposal.edits]
    assert any(f"\n        {case.mended}\n" in text for text in texts), texts
    for trial in proved:
        text = trial.proposal.edits[0].after if trial.proposal.edits else case.text
        assert _same(_really(text, trial.proposal.change), truth), trial.proposal.what


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.lost])
def test_a_cast_of_the_receiver_runs_loses_the_write_and_is_not_proved(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    text = case.text.replace(f"        {case.line}\n", f"        {case.lost}\n")
    assert text != case.text and not _same(_really(text), case.truth)  # it runs, and that is all
    asked = Proposal("source", "asked", edits=(Edit("m.py", 1, case.text, text),))
    (trial,) = [one for one in _tried(tmp_path, case.text, (asked,)) if one.proposal.what == "asked"]
    assert trial.failed is not None and trial.failed.kind == "loses a write", trial.verdict()
    assert not trial.proved and not trial.clears


TWO_LINES: Final = Case(
    "out = torch.zeros(4, 8) + 0",
    "out.index_add_(0, idx, s.l(x))\n        out.index_add_(0, idx + 1, s.l(x))",
    "return out",
    mended="",
)
SHARED: Final = Case(
    "part = s.held",
    "part.index_copy_(0, idx, s.l(x))",
    "return s.mean + s.shared.sum(0)",
    mended="part.index_copy_(0, idx, s.l(x).to(part.dtype))",
)


def test_two_writes_into_one_tensor_are_two_casts_of_what_is_written(tmp_path: Path) -> None:
    tried = _tried(tmp_path, TWO_LINES.text)
    (cut,) = [trial for trial in tried if trial.proposal.kind == "cut"]
    (edit,) = cut.proposal.edits
    assert cut.clears and edit.casts == 2 and edit.after.count("s.l(x).to(out.dtype)") == 2
    assert _same(_really(edit.after), TWO_LINES.truth)


def test_a_cast_of_one_of_two_tensors_on_one_memory_loses_what_is_written_into_the_other(tmp_path: Path) -> None:
    held = 's.register_buffer("held", torch.zeros(4, 8))'
    shared = f'{held}\n        s.register_buffer("shared", s.held[:3])'
    text = SHARED.text.replace(held, shared)
    truth = _really(text.replace("bfloat16", "float32"))
    change = {"set": {"held": "bfloat16"}}
    assert truth[0].any() and not _same(_really(text, change), truth)
    tried = _tried(tmp_path, text)
    (cast,) = [trial for trial in tried if trial.proposal.change == change]
    assert cast.failed is not None and cast.failed.kind == "loses a write"
    (best, *_) = tried
    assert best.clears and SHARED.mended in best.proposal.edits[0].after
    assert _same(_really(best.proposal.edits[0].after), truth)
    assert not any(fix.proved for finding in run_trace(ModelRequest(tmp_path / "m.py", PLAN)).findings
                   for fix in finding.fixes)  # fmt: skip
