"""Everything that a class takes beside a text is fed, in inputs that the real model takes; a text alone if asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from analyzer.cli import main
from analyzer.inputs.facts import Facts
from analyzer.inputs.learning import learned
from analyzer.inputs.makers import make
from analyzer.inputs.modalities import modality_of
from analyzer.ir.plan import Plan
from analyzer.loaders import load_request
from analyzer.loaders.request import ModelRequest

_ROPE = "rope_parameters" if int(hf.__version__.partition(".")[0]) >= 5 else "rope_scaling"
PLAN = Plan(device="cpu", dtype="float32")


def _clips() -> Any:
    text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 2, "vocab_size": 300, _ROPE: {"rope_type": "default",
            "mrope_section": [2, 3, 3], "rope_theta": 10000.0}, "max_position_embeddings": 4096}  # fmt: skip
    vision = {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 1}
    return hf.Qwen2VLConfig(
        text_config=text, vision_config=vision, image_token_id=290, video_token_id=291, vision_start_token_id=292,
        vision_end_token_id=293, vocab_size=300, architectures=["Qwen2VLForConditionalGeneration"],
    )  # fmt: skip


def _boxed() -> Any:
    return hf.LayoutLMConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        architectures=["LayoutLMModel"],
    )  # fmt: skip


def _beside() -> Any:
    side = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return hf.CLIPConfig(
        text_config={**side, "vocab_size": 50}, vision_config={**side, "image_size": 32, "patch_size": 16},
        architectures=["CLIPModel"],
    )  # fmt: skip


CONFIGS = {"clips": (_clips, {"image", "video"}), "boxes": (_boxed, {"boxes"}), "beside": (_beside, {"image"})}


def taught(config: Any, path: Path, *, text_only: bool = False) -> Any:
    config.save_pretrained(path)
    return learned(load_request(ModelRequest(path, PLAN, text_only=text_only)), PLAN)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_class_takes_is_fed_and_the_real_model_takes_it(name: str, tmp_path: Path) -> None:
    make, kinds = CONFIGS[name]
    loaded, captured = taught(make(), tmp_path)
    assert captured.stop is None
    assert {modality_of(one) for one in loaded.inputs} - {""} == kinds
    cls: Any = type(loaded.module)
    real = cls(cls.config_class.from_pretrained(tmp_path)).eval()
    real(**loaded.inputs)
    told = {one.what for one in captured.coverage.assumptions if one.kind == "input"}
    assert told == {f"input {one}" for one in loaded.inputs}  # as they became


@pytest.mark.parametrize("name", ["clips", "boxes"])
def test_a_text_alone_is_fed_if_asked(name: str, tmp_path: Path) -> None:
    loaded, captured = taught(CONFIGS[name][0](), tmp_path, text_only=True)
    assert captured.stop is None and not any(map(modality_of, loaded.inputs))
    assert "input_ids" in loaded.inputs


def test_what_does_not_fit_is_left_out_and_said(tmp_path: Path) -> None:
    """An image whose features are wider than the text can be put nowhere, with no tokens."""
    config = _clips()
    config.vision_config.hidden_size = 48
    loaded, captured = taught(config, tmp_path)
    assert captured.stop is None and not any(map(modality_of, loaded.inputs))
    (said,) = [one for one in captured.coverage.assumptions if one.kind == "absent_input"]
    assert "pixel_values" in said.what and said.value.startswith("none: text alone")


def test_labels_that_were_made_up_stay_with_less(tmp_path: Path) -> None:
    config = _clips()
    config.save_pretrained(tmp_path)
    plan = replace(PLAN, train=True)
    loaded, captured = learned(load_request(ModelRequest(tmp_path, plan)), plan)
    assert captured.stop is None and "labels" in loaded.inputs


def test_only_and_inputs_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _boxed().save_pretrained(tmp_path)
    (tmp_path / "mine.py").write_text("def inputs(config):\n    return {}\n")
    assert main(["trace", str(tmp_path), "--only", "text", "--inputs", str(tmp_path / "mine.py")]) == 2
    assert "--only says what is made up" in capsys.readouterr().err
    assert main(["trace", str(tmp_path), "--only", "text", "--in-process"]) == 0
    assert "input bbox" not in capsys.readouterr().out


def test_masks_of_images_have_a_value_for_each_patch() -> None:
    class Cut(nn.Module):
        def forward(self, images: Any, image_masks: Any) -> Any:
            return images * image_masks[..., None]

    patches = torch.zeros(1, 3, 4, 5)
    made = make("image_masks", Facts(Cut(), None, torch.float32), {"images": patches})
    assert made.shape == (1, 3, 4) and Cut()(patches, made).shape == patches.shape
