"""What remote codes ask of a call beside tensors of the usual form; each is compared with a real run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from analyzer.cli.messages import LONGEST, complain
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from tests.inputs.remote_folders import folder, real, traced

IDS = torch.arange(1, 17)[None]
SEARCHES = """
    def forward(self, input_ids, attention_mask=None, position_ids=None):
        if position_ids is None:
            row = input_ids[0].tolist()
            first, last = row.index(61), row.index(self.config.begins)
            position_ids = torch.stack([torch.arange(last + 1), torch.arange(last + 1) - first])[None]
        return self.head(self.embedding(input_ids)) * position_ids[:, 1, :, None]
"""
LISTS = """
    def forward(self, pixel_values: list[torch.FloatTensor]):
        made = []
        for one in pixel_values:
            batch, channels, height, width = one.shape
            made.append(self.patches(one).flatten(2))
        return made
"""
RANKS = """
    def forward(self, input_ids, position_ids=None):
        made = self.embedding(input_ids)
        if position_ids is None:
            position_ids = torch.arange(made.shape[1])[None]
        turned = made * position_ids[..., None].to(made.dtype)[None]
        return self.head(torch.cat([turned, made], dim=-1)[..., :8])
"""
INSISTS = """
    def forward(self, input_ids):
        made = self.embedding(input_ids)
        assert made.is_cuda
        if not made.is_cuda:
            raise TypeError("on a GPU alone")
        return self.head(made.float()) if made.is_cuda else self.head(made)
"""
SPEAKS = """
    def forward(self, input_ids, tokenizer=None):
        made = self.head(self.embedding(input_ids))
        return made[input_ids == tokenizer.convert_tokens_to_ids("[EOS]")]
"""
DRIVES = """
    def generate(self, prompt, tokenizer):
        raise ValueError("pin the revision of 2024")
    def encode_image(self, image):
        if not hasattr(image, "getpixel"):
            raise ValueError("a picture")
        return self.patches(torch.zeros(1, 3, *image.size, dtype=self.dtype))
"""
COUNTS = """
    def generate(self, batch_images):
        assert batch_images.ndim == 6, "of shape (b, t, f, c, h, w)"
        return self.patches(batch_images.flatten(0, 2))
"""
UNKNOWN = """
    def generate(self, input_ids, attention_mask, wished_lengths_of_the_first, wished_lengths_of_the_second, prompt):
        made = self.head(self.embedding(input_ids)) * attention_mask[..., None]
        return made + wished_lengths_of_the_first[..., None] + wished_lengths_of_the_second[..., None]
"""
WORDS = """{"version": "1.0", "added_tokens": [], "truncation": null, "padding": null, "normalizer": null,
"pre_tokenizer": null, "post_processor": null, "decoder": null,
"model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "[EOS]": 3}, "unk_token": "[UNK]"}}"""


@torch.no_grad()
def _raises(path: Path, inputs: dict[str, Any], words: str, method: str = "forward") -> None:
    with pytest.raises(Exception, match=words):
        getattr(real(path), method)(**inputs)


def test_a_token_that_a_list_is_searched_for_is_put_there(tmp_path: Path) -> None:
    path = folder(tmp_path / "searches", SEARCHES, begins=62)
    _raises(path, {"input_ids": IDS}, "61 is not in list|x not in list")
    report = traced(path)
    assert not report.coverage.incomplete
    assert "position_ids" not in str(report.coverage.assumptions)
    with torch.no_grad():
        real(path)(input_ids=torch.cat([IDS, torch.tensor([[61, 62]])], dim=1))


def test_what_is_in_a_list_becomes_a_batch(tmp_path: Path) -> None:
    path = folder(tmp_path / "lists", LISTS)
    _raises(path, {"pixel_values": [torch.zeros(3, 16, 16)]}, "not enough values to unpack")
    assert not traced(path).coverage.incomplete


def test_positions_that_the_model_makes_wrong_are_given(tmp_path: Path) -> None:
    path = folder(tmp_path / "ranks", RANKS)
    _raises(path, {"input_ids": IDS}, "same number of dimensions")
    assert not traced(path).coverage.incomplete
    with torch.no_grad():
        real(path)(input_ids=IDS, position_ids=torch.arange(16))


def test_only_code_that_insists_is_told_of_the_gpu(tmp_path: Path) -> None:
    path = folder(tmp_path / "insists", INSISTS)
    _raises(path, {"input_ids": IDS}, "")
    there, here = traced(path, Plan(device="cuda")), traced(path)
    assert not there.coverage.incomplete
    assert not there.findings  # the branch that is free to choose stays that of the CPU
    assert here.coverage.incomplete
    assert "AssertionError" in here.coverage.incomplete


@pytest.mark.parametrize("files", [{"tokenizer.json": WORDS}, {}])
def test_a_tokenizer_is_the_folders_or_one_of_few_words(tmp_path: Path, files: dict[str, str]) -> None:
    path = folder(tmp_path / "speaks", SPEAKS, files)
    _raises(path, {"input_ids": IDS}, "NoneType")
    report = traced(path)
    assert not report.coverage.incomplete
    assert ("one of 4 words" in str(report.coverage.assumptions)) == (not files)


def test_a_method_that_never_runs_gives_way_to_one_that_does(tmp_path: Path) -> None:
    path = folder(tmp_path / "drives", DRIVES)
    _raises(path, {"prompt": "", "tokenizer": None}, "pin the revision", "generate")
    report = traced(path)
    assert not report.coverage.incomplete
    assert any(one.what == "what is called" for one in report.coverage.assumptions)


def test_dimensions_that_are_asserted(tmp_path: Path) -> None:
    path = folder(tmp_path / "counts", COUNTS)
    _raises(path, {"batch_images": torch.zeros(1, 3, 16, 16)}, "of shape", "generate")
    assert not traced(path).coverage.incomplete


def test_a_file_that_is_printed_works_as_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder(tmp_path / "unknown", UNKNOWN)
    with pytest.raises(AnalyzerError) as raised:
        traced(path)
    complain(str(raised.value))
    said = capsys.readouterr().err
    assert len(said) > LONGEST
    lines = re.search(r'"(import torch)", then "(def inputs.*)", and pass', said)
    assert lines is not None
    file = tmp_path / "analyze_inputs.py"
    file.write_text("\n".join(lines.groups()))
    assert not traced(path, inputs=file).coverage.incomplete
