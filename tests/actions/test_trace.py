"""The whole path on the samples, shrunken with saved weights, against a real load and a real run on the CPU."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
import torch
from torch.autograd.grad_mode import _force_original_view_tracking
from transformers import AutoModel

import analyzer
from analyzer import loaders
from analyzer.ir.graph import UPDATED
from analyzer.ir.plan import Plan
from analyzer.propagate import disagreements
from tests.capture.real import really, really_trained
from tests.samples.shrink import SAMPLES, shrink
from tests.samples.test_minicpm_v_2 import FAULTY, FIXED, _own_code_cache
from tests.versions import asked, copies

own_code_cache = pytest.fixture(autouse=True)(_own_code_cache.__wrapped__)  # type: ignore[attr-defined]


def _both(sample: Path, folder: Path) -> tuple[analyzer.Report, torch.nn.Module, loaders.Loaded]:
    shrink(sample, folder, "bfloat16")
    report = analyzer.trace(folder, trust_remote_code=True, plan=Plan(device="cpu"))
    loaded = loaders.load(folder, Plan(), trust_remote_code=True)
    real = AutoModel.from_pretrained(folder, trust_remote_code=True, **asked(torch.bfloat16))
    return report, real, loaded


@pytest.mark.parametrize("sample", [FAULTY, FIXED])
def test_stored_dtypes_are_those_of_the_real_load(sample: Path, tmp_path: Path) -> None:
    _, real, loaded = _both(sample, tmp_path / "model")
    for kind in ("named_parameters", "named_buffers"):
        expected = {name: tensor.dtype for name, tensor in getattr(real, kind)()}
        assert {name: tensor.dtype for name, tensor in getattr(loaded.module, kind)()} == expected
    trained = {name: tensor.requires_grad for name, tensor in real.named_parameters()}
    assert {name: tensor.requires_grad for name, tensor in loaded.module.named_parameters()} == trained


def test_the_fixed_sample_has_no_error_and_every_real_dtype(tmp_path: Path) -> None:
    report, real, loaded = _both(FIXED, tmp_path / "model")
    assert not [f for f in report.findings if f.severity != "note"]
    ops = [n for n in report.graph.ops() if n.op != UPDATED and n.outputs]
    assert [(n.op, tuple(s.dtype for s in n.outputs)) for n in ops] == really(real, loaded.inputs)
    assert not list(disagreements(report.flow))


@copies
def test_the_fault_is_the_real_one_at_the_real_line_with_a_proved_fix(tmp_path: Path) -> None:
    report, real, loaded = _both(FAULTY, tmp_path / "model")
    with pytest.raises(RuntimeError) as raised:
        really(real, loaded.inputs)
    last = [f for f in traceback.extract_tb(raised.value.__traceback__) if "/torch/" not in f.filename]
    line = [f for f in last if f.filename.endswith("resampler.py")][-1].lineno
    finding, *others = report.findings
    assert [(f.code, f.severity) for f in others] == [("DT302", "note")]  # logits.float(), kept
    assert (finding.code, finding.severity, finding.message) == ("DT101", "error", str(raised.value))
    assert (finding.file, finding.line, finding.module) == ("resampler.py", line, "resampler.attn")
    odd = [o for operand in finding.operands if operand.dtype == "float32" for o in operand.origins]
    assert [o.name for o in odd] == ["resampler.pos_embed"]
    assert [(fix.proved, fix.errors_left) for fix in finding.fixes] == [(True, 0)]
    assert not list(disagreements(report.flow))


def test_a_training_step_of_the_fixed_sample_is_the_real_one(tmp_path: Path) -> None:
    _, real, loaded = _both(FIXED, tmp_path / "model")
    plan = Plan(device="cpu", train=True)
    report = analyzer.trace(tmp_path / "model", trust_remote_code=True, plan=plan)
    assert not [f for f in report.findings if f.severity != "note"]
    ops = [n for n in report.graph.ops() if n.op != UPDATED and n.outputs]
    with _force_original_view_tracking(True):  # autograd's way for tensor subclasses
        assert ([(n.op, tuple(s.dtype for s in n.outputs)) for n in ops], None) == really_trained(real, loaded.inputs)
    assert not list(disagreements(report.flow))


@pytest.mark.parametrize("sample", ["minicpm_v_2", "minicpm_v_2_fixed"])
def test_the_full_size_sample_agrees_with_its_own_propagation(sample: str) -> None:
    report = analyzer.trace(SAMPLES / sample, trust_remote_code=True)
    assert report.parameters == 3_434_965_792
    assert not list(disagreements(report.flow))
