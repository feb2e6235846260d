"""The processor in a folder is asked for the inputs; what it gives runs on the real model as well."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.running.forward import capture
from tests.inputs.remote_folders import assumed, folder, real, traced

IMAGES = '{"image_processor_type": "OwnImages", "side": 8, "auto_map": {"AutoImageProcessor": "images_own.OwnImages"}}'
IMAGES_PY = """import numpy as np
import torch

class OwnImages:
    def __init__(self, side=4):
        self.side = side
    def __call__(self, images, return_tensors=None):
        pixels = np.stack([np.asarray(one)[: self.side, : self.side] / 255 for one in images])
        made = {"pixel_values": [torch.from_numpy(pixels).float().permute(0, 3, 1, 2)], "sizes": np.array([[2, 2]])}
        return made
"""
BOTH = '{"marker": "<picture_img>", "auto_map": {"AutoProcessor": "both_own.OwnProcessor"}}'
BOTH_PY = """import torch

class OwnProcessor:
    def __init__(self, marker="?"):
        self.image_token = marker
    def __call__(self, text, images=None, return_tensors="pt"):
        if self.image_token not in text:
            raise ValueError("no picture in the text")
        ids = [7] * 4 + [len(word) for word in text.split()]
        return {"input_ids": torch.tensor([ids]), "pixel_values": torch.zeros(1, 3, 8, 8, dtype=torch.float64)}
"""
LISTED = """    def forward(self, pixel_values, sizes):
        seen = self.patches(pixel_values[0].to(self.dtype))
        assert seen.shape[-2:] == tuple(sizes[0].tolist())
        return seen
"""
TEXT = """    def forward(self, input_ids, pixel_values):
        states = self.embedding(input_ids)
        states[input_ids == 7] = self.patches(pixel_values.to(self.dtype)).flatten(2)[0].T
        return states
"""


def test_an_image_processor_of_the_folder_gives_the_shapes_and_lists(tmp_path: Path) -> None:
    path = folder(tmp_path / "own", LISTED, {"preprocessor_config.json": IMAGES, "images_own.py": IMAGES_PY})
    loaded = load(path, Plan(device="cpu"), trust_remote_code=True)
    (pixels,) = loaded.inputs["pixel_values"]
    assert pixels.shape == (1, 3, 8, 8) and pixels.dtype == torch.bfloat16  # the model's dtype, as ever
    assert loaded.processed["pixel_values"][0].dtype == torch.float32
    assert loaded.inputs["sizes"].tolist() == [[2, 2]]
    assert capture(loaded, Plan(device="cpu")).stop is None
    real(path)(**loaded.inputs)
    real(path)(**loaded.processed)


def test_a_processor_gives_the_text_with_its_image(tmp_path: Path) -> None:
    path = folder(tmp_path / "own", TEXT, {"processor_config.json": BOTH, "both_own.py": BOTH_PY})
    loaded = load(path, Plan(device="cpu"), trust_remote_code=True)
    assert loaded.inputs["input_ids"][0, :4].tolist() == [7] * 4
    real(path)(**loaded.inputs)
    report = traced(path)
    assert not report.coverage.incomplete and not report.findings
    assert "input pixel_values" in assumed(report)


@pytest.mark.parametrize(
    "fault", ["raise ValueError('no')", "import not_there_at_all", "raise SystemExit(3)", "made ="]
)
def test_a_processor_that_does_not_work_is_said_and_left_out(fault: str, tmp_path: Path) -> None:
    body = "    def forward(self, pixel_values):\n        return self.patches(pixel_values.to(self.dtype))\n"
    files = {"preprocessor_config.json": IMAGES, "images_own.py": f"{fault}\n"}
    report = traced(folder(tmp_path / "own", body, files))
    assert not report.coverage.incomplete
    assert assumed(report)["the folder's processor"].startswith("not used: ")


def test_nothing_of_the_folder_runs_without_trust(llama: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (llama / "preprocessor_config.json").write_text(IMAGES)
    (llama / "images_own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    loaded = load(llama, Plan(device="cpu"))
    assert not mark.exists() and loaded.processed == {}


@pytest.mark.parametrize("size", ['{"shortest_edge": 1000000}', '{"height": 9000, "width": 9000}', "100000"])
def test_a_size_that_nobody_has_the_memory_for_is_not_asked_for(size: str, tmp_path: Path) -> None:
    body = "    def forward(self, pixel_values):\n        return self.patches(pixel_values.to(self.dtype))\n"
    files = {"preprocessor_config.json": f'{{"image_processor_type": "ViTImageProcessor", "size": {size}}}'}
    loaded = load(folder(tmp_path / "own", body, files), Plan(), trust_remote_code=True)
    assert loaded.processed == {} and loaded.inputs["pixel_values"].shape == (1, 3, 16, 16)
    assert {one.what for one in loaded.assumptions} >= {"the folder's processor"}


def test_a_text_alone_asks_no_processor(tmp_path: Path) -> None:
    body = "    def forward(self, input_ids, pixel_values=None):\n        states = self.embedding(input_ids)\n"
    body += "        return states if pixel_values is None else states + self.patches(pixel_values).mean()\n"
    path = folder(tmp_path / "own", body, {"processor_config.json": BOTH, "both_own.py": BOTH_PY})
    with_image, alone = traced(path), traced(path, only_text=True)
    missed = [[one.module for one in report.coverage.never_entered] for report in (with_image, alone)]
    assert missed == [["head"], ["patches", "head"]]
    assert assumed(alone)["input pixel_values"] == "none: text alone (--only text)"


def test_what_the_processor_gives_is_kept_in_its_own_dtypes(tmp_path: Path) -> None:
    """A float64 image is said as such."""
    body = TEXT.replace(".to(self.dtype)", "")
    path = folder(tmp_path / "own", body, {"processor_config.json": BOTH, "both_own.py": BOTH_PY})
    (line,) = [one for one in traced(path).coverage.assumptions if one.kind == "as_processed"]
    with pytest.raises(RuntimeError) as raised:
        real(path)(**{**load(path, Plan(), trust_remote_code=True).processed})
    assert line.what.startswith("float64 pixel_values") and str(raised.value) in line.value
