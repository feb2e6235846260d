"""Inputs: made up, given by a file, cast by a plan."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.running.forward import capture

GOOD = "import torch\ndef inputs(config):\n    return {'input_ids': torch.full((1, 3), config.vocab_size - 1)}\n"


def fails(folder: Path, file: Path) -> str:
    with pytest.raises(AnalyzerError) as caught:
        load(folder, Plan(), inputs_file=file)
    return str(caught.value)


def test_made_up_ids_avoid_special_tokens(llama: Path) -> None:
    loaded = load(llama, Plan())
    assert loaded.inputs["input_ids"].shape == (1, 16)
    assert loaded.inputs["input_ids"].max() < 64
    assert not set(loaded.inputs["input_ids"][0].tolist()) & {1, 2}
    assert set(loaded.inputs) == {"input_ids", "attention_mask"}
    assert [a.what for a in loaded.assumptions] == ["input input_ids", "input attention_mask"]


def test_input_dtypes(llama: Path) -> None:
    loaded = load(llama, Plan(input_dtypes={"attention_mask": "float32"}))
    assert loaded.inputs["attention_mask"].dtype == torch.float32
    with pytest.raises(AnalyzerError, match="did you mean 'attention_mask'"):
        load(llama, Plan(input_dtypes={"attention_masks": "float32"}))


UNKNOWN = {
    "beside a text": ("self, input_ids, batch: 'Batch'", "self.embed(input_ids) + batch[..., None]"),
    "in a dict": ("self, data, batch: 'Batch'", "self.embed(data['input_ids']) + batch[..., None]"),
    "of a method": ("self, input_ids, batch: 'Batch'", "self.embed(input_ids) + batch[..., None]"),
    "optional ones left out": ("self, batch: 'Batch', input_ids=None", "self.embed(batch)"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_the_template_of_an_argument_that_cannot_be_made_up_works_as_printed(
    name: str, own: Path, tmp_path: Path
) -> None:
    takes, gives = UNKNOWN[name]
    method = "generate" if name == "of a method" else "forward"
    body = f"    def {method}({takes}):\n        return {gives}\n"
    file = own / "modeling_own.py"
    file.write_text(re.sub(r"(?s)    def forward\(.*", body, file.read_text()))
    with pytest.raises(AnalyzerError) as caught:
        load(own, Plan(), trust_remote_code=True)
    assert f"argument 'batch' of OwnModel.{method}" in caught.value.message
    written, _, where = caught.value.hint.partition(", and pass it with ")
    given = tmp_path / where.removeprefix("--inputs ")
    given.write_text("\n".join(re.findall(r'"([^"]*)"', written)))
    loaded = load(own, Plan(device="cpu"), trust_remote_code=True, inputs_file=given)
    assert capture(loaded, Plan(device="cpu")).stop is None


def test_a_file_beats_made_up_inputs(llama: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(GOOD + "def run(model, inputs):\n    return model(**inputs)\n")
    loaded = load(llama, Plan(), inputs_file=file)
    assert loaded.inputs["input_ids"].tolist() == [[63] * 3]
    assert loaded.run is not None and loaded.assumptions == ()


def test_the_folders_own_file_needs_trust(llama: Path) -> None:
    (llama / "analyze_inputs.py").write_text(GOOD)
    assert load(llama, Plan(), trust_remote_code=True).inputs["input_ids"].shape == (1, 3)
    loaded = load(llama, Plan())
    assert loaded.inputs["input_ids"].shape == (1, 16)
    assert any("--trust-remote-code" in a.value for a in loaded.assumptions)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "has no function inputs"),
        ("def inputs(config):\n    return [1]\n", "returned list, not a dict"),
        ("def inputs(config):\n    return config.nothing_here\n", "mine.py:2: AttributeError"),
        ("raise ValueError('no')\n", "mine.py:1: ValueError: no, while importing mine.py"),
        ("def inputs(:\n", "mine.py:1: SyntaxError"),
        (GOOD + "run = 3\n", "is no function"),
    ],
)
def test_bad_files(text: str, message: str, llama: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    assert message in fails(llama, file)


def test_a_file_that_is_not_there(llama: Path, tmp_path: Path) -> None:
    assert "no such inputs file" in fails(llama, tmp_path / "none.py")


def test_keys_that_forward_does_not_take(own: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def inputs(config):\n    return {'input_id': 1}\n")
    with pytest.raises(AnalyzerError, match="did you mean 'input_ids'"):
        load(own, Plan(), trust_remote_code=True, inputs_file=file)
