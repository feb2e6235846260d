"""timm and sentence-transformers, which lie apart: what they depend on is stood in for, as they call none of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders.remote_code.environment import environment
from analyzer.loaders.request import ModelRequest
from tests.coverage.beside import BESIDE
from tests.loaders.remote import assumed

needs_apart = pytest.mark.skipif(not BESIDE.is_dir(), reason="no packages apart: make installs them")
STUBS = ("scipy", "sklearn")


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BESIDE))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("timm", "sentence_transformers")]:
        del sys.modules[name]


@pytest.fixture
def resnet(tmp_path: Path) -> Path:
    settings = {"architecture": "resnet18", "num_classes": 10, "pretrained_cfg": {"input_size": [3, 64, 64]}}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    return tmp_path


@pytest.mark.skipif(find_spec("timm") is not None, reason="timm is there")
def test_without_timm(resnet: Path) -> None:
    with pytest.raises(AnalyzerError, match="needs the package timm, which is not installed"):
        run_trace(ModelRequest(resnet, Plan()))


@needs_apart
@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize("odd", [{}, {"layer2.0.conv1": "bfloat16"}])
def test_timm_models_end_as_real_ones(odd: dict[str, str], resnet: Path) -> None:
    report = run_trace(ModelRequest(resnet, Plan(device="cpu", set=odd)))
    assert assumed(report)["the package torchvision"].startswith("stood in for by")
    with environment("cpu") as place:
        place.finder.add("torchvision")
        import timm

        model = timm.create_model("resnet18", num_classes=10).eval()
        for path, dtype in odd.items():
            model.get_submodule(path).to(getattr(torch, dtype))
        try:
            model(torch.zeros(1, 3, 64, 64))
            words = []
        except RuntimeError as error:
            words = [str(error)]
    errors = [f for f in report.findings if f.severity == "error"]
    assert [f.message for f in errors] == words and [f.module for f in errors] == list(odd)


@needs_apart
@pytest.mark.usefixtures("apart")
def test_what_a_timm_model_cannot_have(resnet: Path) -> None:
    assert run_trace(ModelRequest(resnet, Plan(to="bfloat16"))).outputs == ("bfloat16",)
    with pytest.raises(AnalyzerError, match="a timm model takes no --dtype"):
        run_trace(ModelRequest(resnet, Plan(dtype="bfloat16")))
    text = (resnet / "config.json").read_text()
    (resnet / "config.json").write_text(text.replace("resnet18", "resnet188"))
    with pytest.raises(AnalyzerError, match=r"knows no architecture 'resnet188'.*did you mean 'resnet18"):
        run_trace(ModelRequest(resnet, Plan()))


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """An encoder whose first parameter stays float32, and a layer behind it."""
    from transformers import BertConfig

    BertConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        architectures=["BertForMaskedLM"], dtype="bfloat16",
    ).save_pretrained(tmp_path)  # fmt: skip
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"}
    modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
               for i, (path, kind) in enumerate(kinds.items())]  # fmt: skip
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    for folder, config in {
        "1_Pooling": {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True},
        "2_Dense": {"in_features": 16, "out_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"},
    }.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_without_the_package_the_encoder_alone_is_traced(sentences: Path) -> None:
    report = run_trace(ModelRequest(sentences, Plan()))
    said = assumed(report)["Pooling, Dense, Normalize behind the encoder"]
    assert said == "not traced: pip install sentence-transformers" and not report.coverage.incomplete


@needs_apart
@pytest.mark.usefixtures("apart")
def test_all_modules_of_a_sentence_transformer(sentences: Path) -> None:
    report = run_trace(ModelRequest(sentences, Plan(device="cpu"), stubs=STUBS))
    assert report.class_name == "SentenceTransformer" and not report.coverage.incomplete and not report.findings
    assert report.outputs == ("bfloat16",)
    assert {node.name for node in report.graph if node.name.startswith("2.")} == {"2.linear.weight", "2.linear.bias"}
    wide = run_trace(ModelRequest(sentences, Plan(device="cpu", set={"2": "float32"}), stubs=STUBS))
    assert [(f.code, f.module) for f in wide.findings if f.severity == "error"] == [("DT101", "2.linear")]


@needs_apart
@pytest.mark.usefixtures("apart")
def test_dense_takes_the_dtype_of_the_first_parameter_as_in_the_package(sentences: Path) -> None:
    with environment("cpu", STUBS):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Dense
        from torch import nn

        class First(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.w = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))

        real = SentenceTransformer(modules=[First(), Dense(16, 8)], device="cpu")
        assert {p.dtype for p in real[1].parameters()} == {torch.bfloat16}


@needs_apart
@pytest.mark.skipif(find_spec("sklearn") is not None, reason="it is there")
@pytest.mark.usefixtures("apart")
def test_a_package_that_it_needs_is_named(sentences: Path) -> None:
    with pytest.raises(AnalyzerError, match=r"needs the package (?P<name>scipy|sklearn), .*--stub auto"):
        run_trace(ModelRequest(sentences, Plan()))
    report = run_trace(ModelRequest(sentences, Plan(), stubs=("auto",)))
    assert assumed(report)["the package sklearn"] == "an inert stand-in" and not report.coverage.incomplete


@pytest.mark.parametrize(("text", "words"), [("{}", "holds no JSON list"), ("[]", "does not begin with a Transformer")])
def test_odd_lists_of_modules(text: str, words: str, sentences: Path) -> None:
    (sentences / "modules.json").write_text(text)
    with pytest.raises(AnalyzerError, match=words):
        run_trace(ModelRequest(sentences, Plan()))
