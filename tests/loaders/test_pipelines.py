"""Diffusers pipelines: the parts' dtypes, and which call raises with which words, are those of real pipelines."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")

import torch

from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.loaders.request import ModelRequest
from tests.loaders import pipelines

CALL = {"prompt": "a photograph", "num_inference_steps": 1, "output_type": "pt", "return_dict": False}


@pytest.fixture(scope="module", params=["stable_diffusion", "flux"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    torch.manual_seed(0)
    name, parts = getattr(pipelines, request.param)()
    return pipelines.save(tmp_path_factory.mktemp(request.param), name, parts), name


def ends(root: Path, name: str, dtype: str | None, odd: dict[str, str]) -> tuple[str, str, str]:
    """The dtype of the real picture, or the words and the line of diffusers or transformers with which it ends."""
    try:
        with torch.no_grad():
            picture = pipelines.real(root, name, dtype, odd)(**CALL, height=32, width=32)[0]
    except (RuntimeError, ValueError) as error:
        lines = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename]
        file = lines[-1].filename.partition("site-packages/")[2]
        return "", str(error), f"{file}:{lines[-1].lineno}"
    return str(picture.dtype).removeprefix("torch."), "", ""


def traced(root: Path, plan: Plan, tmp_path: Path) -> Any:
    """The report of the same call."""
    file = tmp_path / "call.py"
    file.write_text(f"def inputs(config): return {dict(CALL, height=32, width=32)!r}")
    return run_trace(ModelRequest(root, plan, inputs_file=file))


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float16"])
def test_parts_are_as_diffusers_loads_them(dtype: str | None, saved: tuple[Path, str]) -> None:
    root, name = saved
    ours, real = load(root, Plan(dtype=dtype)), pipelines.real(root, name, dtype, {})
    for part, module in ours.module.named_children():
        for kind in ("named_parameters", "named_buffers"):
            got = {n: t.dtype for n, t in getattr(module, kind)()}
            assert got == {n: t.dtype for n, t in getattr(getattr(real, part), kind)()}, part


@pytest.mark.parametrize(
    ("dtype", "odd"),
    [
        (None, {}), ("bfloat16", {}), ("bfloat16", {"vae": "float32"}), ("bfloat16", {"text_encoder": "float32"}),
        (None, {"vae": "bfloat16"}), ("bfloat16", {"denoiser": "float32"}),
    ],
)  # fmt: skip
def test_ends_as_the_real_one(dtype: str | None, odd: dict[str, str], saved: tuple[Path, str], tmp_path: Path) -> None:
    root, name = saved
    denoiser = "unet" if name.startswith("Stable") else "transformer"
    odd = {denoiser if part == "denoiser" else part: other for part, other in odd.items()}
    picture, words, place = ends(root, name, dtype, odd)
    report = traced(root, Plan(device="cpu", dtype=dtype, set=odd), tmp_path)
    errors = [f for f in report.findings if f.severity == "error"]
    assert not report.coverage.incomplete
    if not words:
        assert not errors and report.outputs[0] == picture
        return
    first = min(errors, key=lambda f: list(report.graph.nodes).index(f.nodes[0]))
    assert (first.message, f"{first.file}:{first.line}") == (words, place)


def test_one_odd_part_is_one_fault(saved: tuple[Path, str], tmp_path: Path) -> None:
    root, _ = saved
    report = traced(root, Plan(device="cpu", dtype="bfloat16", set={"vae": "float32"}), tmp_path)
    assert len([f for f in report.findings if f.severity == "error"]) == 1


def test_the_whole_pipeline_under_autocast(saved: tuple[Path, str], tmp_path: Path) -> None:
    report = traced(saved[0], Plan(autocast="cuda:bfloat16"), tmp_path)
    assert not report.coverage.incomplete and report.autocast()["casts"] > 10


def test_one_part_alone(saved: tuple[Path, str]) -> None:
    root, name = saved
    if name.startswith("Stable"):
        report = run_trace(ModelRequest(root / "unet", Plan(dtype="bfloat16")))
        assert report.class_name == "UNet2DConditionModel" and report.outputs == ("bfloat16",)
        return
    with pytest.raises(AnalyzerError, match="cannot make up the argument 'hidden_states'"):
        run_trace(ModelRequest(root / "transformer", Plan(dtype="bfloat16")))


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan(train=True), "takes no --train"), (Plan(adapter="x"), "takes no --adapter"),
        (Plan(input_dtypes={"prompt": "float32"}), "makes its own tensors"),
        (Plan(set={"vae_": "float32"}), "did you mean 'vae'"),
    ],
)  # fmt: skip
def test_what_a_pipeline_cannot_have(plan: Plan, words: str, saved: tuple[Path, str]) -> None:
    with pytest.raises(AnalyzerError, match=words):
        run_trace(ModelRequest(saved[0], plan))


def test_what_is_missing_is_named(saved: tuple[Path, str], tmp_path: Path) -> None:
    index = json.loads((saved[0] / "model_index.json").read_text())
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(AnalyzerError, match="is missing"):
        run_trace(ModelRequest(tmp_path, Plan()))
    (tmp_path / "model_index.json").write_text(json.dumps({**index, "_class_name": "FluxPipelin"}))
    with pytest.raises(AnalyzerError, match=r"names diffusers.FluxPipelin, .*did you mean 'FluxPipeline'"):
        run_trace(ModelRequest(tmp_path, Plan()))
