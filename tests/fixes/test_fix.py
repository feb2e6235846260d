"""Fixes that are said to be proved, applied to the real sample with weights: it runs, and without them it raises."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from accelerate.utils.operations import convert_outputs_to_fp32

from analyzer.actions.fix import run_fix
from analyzer.actions.trace import run_trace
from analyzer.capture.tensor import dtype_name
from analyzer.cli import main
from analyzer.ir.fixes.proposals import Trial
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from analyzer.plans.typed_changes import read_asked
from analyzer.running.output_tensors import leaves
from tests.conftest import forget_remote_code
from tests.fixes.folders import BASE, really, said, weigh
from tests.fixes.test_real import TWO_FAULTS
from tests.samples.shrink import shrink
from tests.samples.test_minicpm_v_2 import FAULTY, MESSAGE, _load, _own_code_cache
from tests.versions import copies

own_code_cache = pytest.fixture(autouse=True)(_own_code_cache.__wrapped__)  # type: ignore[attr-defined]


def _real(folder: Path) -> torch.nn.Module:
    return _load(folder, dtype=torch.bfloat16).eval()


def _see(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.get_vision_embedding([torch.zeros(3, 56, 56)])  # type: ignore[operator, no-any-return]


def _trials(folder: Path, plan: Plan, *asked: str, inputs: Path | None = None) -> list[Trial]:
    proposals = [read_asked(text) for text in asked]
    return run_fix(ModelRequest(folder, trust_remote_code=True, inputs_file=inputs), [plan], asked=proposals)[1]


@copies
def test_proved_casts_are_true_of_the_real_model(tmp_path: Path) -> None:
    folder = shrink(FAULTY, tmp_path / "m", "bfloat16")
    trials = _trials(folder, Plan(device="cpu"), "set.vision_encoder=f32", "set.resampler.query=f32")
    assert trials == sorted(trials, key=lambda trial: trial.rank)
    by = {trial.proposal.what: trial for trial in trials}
    assert by["set.vision_encoder=f32"].verdict().startswith("cannot be set: 'vision_encoder' matches no")
    with pytest.raises(RuntimeError, match=MESSAGE):
        _see(_real(folder))
    useless = by["set.resampler.query=f32"]
    assert not useless.proved
    assert useless.errors_left
    model = _real(folder)
    model.resampler.query.data = model.resampler.query.data.float()  # type: ignore[union-attr, operator]
    with pytest.raises(RuntimeError, match="dtype"):
        _see(model)
    stored = by["cast resampler.pos_embed to bf16 once after loading"]
    assert stored.clears
    assert stored.places == 1
    model = _real(folder)
    old = model.resampler.pos_embed.nbytes  # type: ignore[union-attr]
    model.resampler.pos_embed.data = model.resampler.pos_embed.data.bfloat16()  # type: ignore[union-attr, operator]
    assert _see(model).dtype == torch.bfloat16
    assert model.resampler.pos_embed.nbytes - old == stored.bytes  # type: ignore[union-attr, operator]
    assert next(t for t in trials if t.proposal.change == {"to": "bfloat16"}).clears
    _see(_real(folder).to(torch.bfloat16))


def test_a_patched_copy_runs_and_the_original_stays(tmp_path: Path) -> None:
    folder, copy = shrink(FAULTY, tmp_path / "m"), tmp_path / "patched"
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    args = ["fix", str(folder), "--trust-remote-code", "--device", "cpu"]
    assert main([*args, "--out", str(tmp_path / "f.json")]) == 1
    assert main([*args, "--apply", str(copy)]) == 0
    assert main([*args, "--apply", str(copy)]) == 2
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert json.loads((tmp_path / "f.json").read_text())["fixes"][0]["proved"]
    shrink(FAULTY, tmp_path / "w", "bfloat16")
    (tmp_path / "w" / "resampler.py").write_bytes((copy / "resampler.py").read_bytes())
    forget_remote_code()  # else the code as it was when the weights were made runs
    assert _see(_real(tmp_path / "w")).dtype == torch.bfloat16
    plan = tmp_path / "plan.json"
    assert main([*args, "--apply", str(plan)]) == 0
    assert Plan(**json.loads(plan.read_text())).device == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_calling_forward_is_under_autocast_and_a_method_is_not(device: str, tmp_path: Path) -> None:
    folder = shrink(FAULTY, tmp_path / "m")
    plan = Plan(device=device, autocast=f"{device}:bfloat16")
    trials = _trials(folder, plan, f"run={folder / 'calls_forward.py'}", inputs=folder / "calls_method.py")
    asked = next(trial for trial in trials if trial.proposal.kind == "asked")
    assert asked.errors_before == 1
    assert asked.clears


@copies
def test_calling_forward_really_is_under_autocast_and_a_method_is_not(tmp_path: Path) -> None:
    folder, plan = shrink(FAULTY, tmp_path / "m", "bfloat16"), Plan(device="cpu", autocast="cpu:bfloat16")
    for name in ("calls_method.py", "calls_forward.py"):
        calls = runpy.run_path(str(folder / name))
        model = _real(folder)
        forward = torch.autocast("cpu", torch.bfloat16)(model.forward)
        model.forward = convert_outputs_to_fp32(forward)  # as Accelerate's prepare_model does it
        report = run_trace(ModelRequest(folder, plan, trust_remote_code=True, inputs_file=folder / name))
        errors = [finding.message for finding in report.findings if finding.severity == "error"]
        with torch.no_grad():
            if name == "calls_method.py":
                assert errors == [MESSAGE]
                with pytest.raises(RuntimeError, match=MESSAGE):
                    calls["run"](model, calls["inputs"](model.config))
                continue
            result = calls["run"](model, calls["inputs"](model.config))
        assert errors == []
        assert report.outputs == tuple(dtype_name(tensor.dtype) for tensor in leaves(result))


def test_errors_without_a_proposal_are_no_clean_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shrink(FAULTY, tmp_path / "m")
    for name in ("cut", "setups", "sources", "wholes", "limits"):
        monkeypatch.setattr(f"analyzer.fixes.ranking.{name}", lambda *_: ())
    assert main(["fix", str(folder), "--trust-remote-code", "--in-process"]) == 1
    (first, title, reason) = capsys.readouterr().out.splitlines()
    assert first == "1 error; what could help, best first:"
    assert title == f"1. DT101 {MESSAGE}"
    assert reason == "   no proposal: no line or tensor can be cast"


@copies
def test_a_patched_copy_holds_the_whole_tree_of_code_and_no_weights(tmp_path: Path) -> None:
    folder, copy = TWO_FAULTS.write(tmp_path / "m"), tmp_path / "patched"
    (folder / "parts" / "__pycache__").mkdir(parents=True)
    (folder / ".git").mkdir()
    for name in ("parts/__init__.py", "parts/vision.py", "parts/settings.json"):
        (folder / name).write_text("{}" if name.endswith("json") else "SIZE = 8\n")
    for name in ("model.bin", "parts/weights.pt", "parts/__pycache__/old.py", ".git/config.json"):
        (folder / name).write_text("no code")
    args = ["fix", str(folder), "--trust-remote-code", "--device", "cpu", "--dtype", "bfloat16"]
    args += ["--inputs", str(folder / "analyze_inputs.py")]
    assert main([*args, "--apply", str(copy)]) == 0
    held = {str(file.relative_to(copy)) for file in copy.rglob("*") if file.is_file()}
    code = {"config.json", "configuration_own.py", "modeling_own.py", "analyze_inputs.py", "plan.json"}
    assert held == code | {"parts/__init__.py", "parts/vision.py", "parts/settings.json"}
    plan = Plan(**json.loads((copy / "plan.json").read_text()))
    (errors,) = said(folder, BASE)
    assert "dtype" in errors
    assert said(copy, plan) == ("bfloat16",)
    assert "dtype" in said(copy, BASE)[0]  # the patch alone is half of the fix
    weigh(copy)
    assert really(copy, plan) == ("bfloat16",)
    assert main([*args, "--in-place"]) == 2
