"""Other things that people call a model: adapters alone, exported programs, Python files; and what is none."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel

from analyzer import cli
from analyzer.actions.trace import run_trace
from analyzer.api import trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders import LOADERS, Kind, _kind, load
from analyzer.loaders.request import Loader, ModelRequest

LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
NET = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4, dtype=torch.bfloat16)
    def forward(self, x, ids):
        return self.b(self.a(x).relu()[ids]{cast})
"""


class Net(nn.Module):
    def __init__(self, odd: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4, dtype=odd)

    def forward(self, x: torch.Tensor, ids: torch.Tensor, *, scale: torch.Tensor) -> torch.Tensor:
        hidden = self.a(x).relu()[ids] * scale
        return self.b(hidden)


def adapter(folder: Path, base: str | None) -> Path:
    pytest.importorskip("peft")
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({**LORA, "base_model_name_or_path": base}))
    return folder


@pytest.mark.parametrize("base", ["someone/llama", "{tmp}/llama"])
def test_an_adapter_alone_finds_its_base(base: str, llama: Path, tmp_path: Path) -> None:
    lora = adapter(tmp_path / "lora", base.format(tmp=tmp_path))
    report = run_trace(ModelRequest(lora, Plan(train=True)))
    both = run_trace(ModelRequest(llama, Plan(train=True, adapter=str(lora))))
    assert report.plan == both.plan and report.outputs == both.outputs
    assert [n.op for n in report.graph] == [n.op for n in both.graph]


@pytest.mark.parametrize(
    ("base", "words"), [(None, "names no base model"), ("someone/nowhere", "neither there nor beside it as nowhere")]
)
def test_an_adapter_without_its_base(base: str | None, words: str, tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match=words) as caught:
        run_trace(ModelRequest(adapter(tmp_path / "lora", base), Plan()))
    assert "--adapter" in caught.value.hint


def test_an_adapter_in_the_folder_of_its_base(llama: Path) -> None:
    pytest.importorskip("peft")
    (llama / "adapter_config.json").write_text(json.dumps({**LORA, "base_model_name_or_path": None}))
    assert run_trace(ModelRequest(llama, Plan())).class_name.startswith("PeftModel")


def exported(path: Path, module: nn.Module, *args: Any, **kwargs: Any) -> Path:
    torch.export.save(torch.export.export(module.eval(), args, kwargs), path)
    return path


@pytest.mark.parametrize("odd", [torch.float32, torch.bfloat16])
def test_an_exported_program_is_judged_as_the_module(odd: torch.dtype, tmp_path: Path) -> None:
    given: tuple[Any, Any] = (torch.ones(2, 8), torch.tensor([1, 0, 1]))
    scale = torch.ones(1)
    file = exported(tmp_path / "net.pt2", Net(odd), *given, scale=scale)
    ours, module = (
        run_trace(ModelRequest(file, Plan(device="cpu"))),
        trace(Net(odd), given, {"scale": scale}, plan=Plan(device="cpu")),
    )
    for said in ("code", "message", "line", "module", "call"):
        assert [getattr(f, said) for f in ours.findings] == [getattr(f, said) for f in module.findings]
    assert ours.outputs == module.outputs and bool(ours.findings) is (odd is torch.bfloat16)
    assert all(Path(f.file).name == Path(__file__).name for f in ours.findings)
    try:
        Net(odd)(*given, scale=scale)
    except RuntimeError as error:
        assert str(error) == ours.findings[0].message


def test_an_exported_program_takes_what_a_plan_can_do_to_it(tmp_path: Path) -> None:
    file = exported(tmp_path / "net.pt2", Net(torch.float32), torch.ones(2, 8), torch.tensor([1]), scale=torch.ones(1))
    cast = Plan(device="cpu", to="bfloat16", input_dtypes={"x": "bfloat16", "scale": "bfloat16"})
    report = run_trace(ModelRequest(file, cast))
    assert not report.findings and report.outputs == ("bfloat16",)
    assert run_trace(ModelRequest(file, Plan(device="cpu", set={"b": "bfloat16"}))).findings[0].module == "b"
    assert run_trace(ModelRequest(file, Plan(device="cpu", autocast="cpu:bfloat16"))).autocast()["casts"] > 0
    inputs = tmp_path / "inputs.py"
    inputs.write_text("import torch\ndef inputs(config):\n    return {'x': torch.ones(2, 8, dtype=torch.float64), "
                      "'ids': torch.tensor([0]), 'scale': torch.ones(1)}")  # fmt: skip
    assert "Double" in run_trace(ModelRequest(file, Plan(device="cpu"), inputs_file=inputs)).findings[0].message
    for plan in (Plan(dtype="bfloat16"), Plan(train=True), Plan(adapter="x")):
        with pytest.raises(AnalyzerError, match="an exported program takes no --"):
            run_trace(ModelRequest(file, plan))


def test_an_exported_program_that_is_broken_or_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.pt2").write_bytes(b"no archive")
    with pytest.raises(AnalyzerError, match=r"cannot load .*no\.pt2"):
        run_trace(ModelRequest(tmp_path / "no.pt2", Plan()))
    file = exported(tmp_path / "net.pt2", Net(), torch.ones(2, 8), torch.tensor([1]), scale=torch.ones(1))
    monkeypatch.setattr(torch.export, "load", lambda path: pickle.loads(b"anything"))
    with pytest.raises(AnalyzerError, match="holds pickled objects") as caught:
        run_trace(ModelRequest(file, Plan()))
    assert "--trust-remote-code" in caught.value.hint


def python(tmp_path: Path, text: str, cast: str = "") -> Path:
    (tmp_path / "helpers.py").write_text(NET.format(cast=cast))
    file = tmp_path / "my-net.py"
    file.write_text(f"import torch\nfrom helpers import Net\n{text}")
    return file


GIVEN = "torch.ones(2, 8), torch.tensor([0, 1])"


@pytest.mark.parametrize(
    "text",
    [
        f"def build(): return Net(), ({GIVEN})",
        "def build(): return Net(), {'x': torch.ones(2, 8), 'ids': torch.tensor([0, 1])}",
        "def build(): return Net()\ndef inputs(config): return {'x': torch.ones(2, 8), 'ids': torch.tensor([0, 1])}",
        f"def build(): return Net(), ({GIVEN})\ndef run(model, inputs): return model(**inputs)",
    ],
)
def test_a_python_file_builds_the_model(text: str, tmp_path: Path) -> None:
    report = run_trace(ModelRequest(python(tmp_path, text), Plan(device="cpu")))
    (found,) = report.findings
    assert (found.code, found.file, found.line, found.module) == ("DT101", "helpers.py", 9, "b")
    assert not run_trace(ModelRequest(python(tmp_path, text, ".bfloat16()"), Plan(device="cpu"))).findings


@pytest.mark.parametrize("taken", ["*args, **kwargs", "x, /, *args", "x, /, **kwargs"])
def test_inputs_that_forward_takes_by_place_alone_are_given_so(taken: str, tmp_path: Path) -> None:
    file = tmp_path / "wrapped.py"
    first = "x" if "x" in taken else "*args"
    file.write_text(
        "import torch\nclass Net(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.l = torch.nn.Linear(8, 8)\n"
        f"    def forward(self, {taken}):\n        return self.l({first})\n"
        "def build(): return Net(), (torch.ones(2, 8, dtype=torch.bfloat16),)\n"
    )
    report = run_trace(ModelRequest(file, Plan(device="cpu")))
    assert [(found.code, found.line) for found in report.findings] == [("DT101", 7)]


def test_a_large_model_of_a_python_file_takes_no_memory(tmp_path: Path) -> None:
    text = "def build(): return torch.nn.Sequential(torch.nn.Linear(1 << 20, 1 << 16)), (torch.ones(1, 1 << 20),)"
    loaded = load(python(tmp_path, text), Plan())
    assert next(loaded.module.parameters()).is_meta


def test_a_python_file_s_training_step(tmp_path: Path) -> None:
    file = python(tmp_path, f"def build(): return Net(), ({GIVEN})", ".bfloat16()")
    report = run_trace(ModelRequest(file, Plan(device="cpu", train=True)))
    assert not report.coverage.incomplete and any(node.phase == "backward" for node in report.graph)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "has no function build"),
        ("def build(): return 3", "returned int, no module"),
        ("def build(): return Net()", "gives no inputs"),
        ("def build(): 1 / 0", r"my-net\.py:3: ZeroDivisionError"),
        ("import no_such_thing", "needs the package no_such_thing"),
    ],
)
def test_a_python_file_that_builds_nothing(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match=words):
        run_trace(ModelRequest(python(tmp_path, text), Plan()))


def test_the_command_takes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = python(tmp_path, f"def build(): return Net(), ({GIVEN})")
    assert cli.main(["trace", str(file), "--out", str(tmp_path / "a.json")]) == 1
    assert cli.main(["trace", str(file), "--dtype", "bf16"]) == 2
    assert "takes no --dtype" in capsys.readouterr().err
    other = tmp_path / "model.onnx"
    other.write_text("")
    assert cli.main(["trace", str(other)]) == 2
    assert "an ONNX graph, which is not supported" in capsys.readouterr().err


def test_what_is_no_model_is_told_what_is(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match=r"no config\.json") as caught:
        load(tmp_path, Plan())
    assert all(kind.marker in caught.value.hint for kind in LOADERS)


@pytest.mark.parametrize("kind", LOADERS, ids=lambda kind: kind.module)
def test_every_kind_has_the_interface_of_a_loader(kind: Kind) -> None:
    load = import_module(f"analyzer.loaders.kinds.{kind.module}").load
    assert list(signature(load).parameters) == list(signature(Loader.__call__).parameters)[1:]


def test_a_timm_model_that_transformers_wraps_is_a_transformers_model(tmp_path: Path) -> None:
    known = {"architecture": "resnet18", "pretrained_cfg": {}}
    kinds = []
    for more in ({}, {"model_type": "timm_wrapper", "architectures": ["TimmWrapperModel"]}):
        (tmp_path / "config.json").write_text(json.dumps({**known, **more}))
        kinds.append(_kind(tmp_path, Plan())[0].module)
    assert kinds == ["timm_folder", "transformers_folder"]


def test_an_exported_transformers_model_is_read_with_its_own_kinds_of_outputs(tmp_path: Path) -> None:
    """In a fresh process, where nothing of transformers was imported: it registers its outputs on import."""
    config = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = BertModel(BertConfig(**config, vocab_size=32)).eval()
    file = tmp_path / "bert.pt2"
    torch.export.save(torch.export.export(model, (torch.ones(1, 4, dtype=torch.long),), strict=False), file)
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "trace", str(file), "--device", "cpu"], capture_output=True, text=True
    )
    assert done.returncode == 0 and "0 errors" in done.stdout, done.stderr
