"""What is said of default configs that transformers itself cannot run is so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as hf

from tests.coverage.explained import REAL_TOO

pytestmark = pytest.mark.skipif(int(hf.__version__.split(".")[0]) < 5, reason="these are types of transformers 5")

IDS = {"input_ids": torch.ones(1, 16, dtype=torch.long)}
IMAGE = {"pixel_values": torch.zeros(1, 3, 224, 224)}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "pp_ocrv6_small_det PPOCRV6SmallDetModel": ({}, IMAGE, "to have 12 channels, but got 384"),
    "qwen3_omni_moe_thinker Qwen3OmniMoeThinkerTextModel": (
        {"num_hidden_layers": 1, "num_experts": 8, "vocab_size": 8, "moe_intermediate_size": 8}, IDS, "(73)",
    ),
    "step3p7 Step3p7Model": (
        {"num_hidden_layers": 1, "n_routed_experts": 8, "vocab_size": 8, "layer_types": ["full_attention"],
         "mlp_layer_types": ["dense"], "hidden_size": 64, "intermediate_size": 64},
        IDS, "`sliding_window`",
    ),
    "uvdoc UVDocModel": ({}, IMAGE, "to have 768 channels, but got 128"),
}  # fmt: skip
"""Type and class -> what is made smaller, inputs, and words of the error."""
WITHOUT_FORWARD = ("Qwen2_5OmniForConditionalGeneration", "Qwen3OmniMoeForConditionalGeneration")
WITHOUT_VALUES = ("PPDocLayoutV2ForObjectDetection",)


def test_all_are_shown() -> None:
    missing = {name.split()[0] for name in REAL_TOO if name.split()[1] not in WITHOUT_FORWARD + WITHOUT_VALUES}
    assert missing == {name.split()[0] for name in CASES}


@pytest.mark.parametrize("cls", WITHOUT_FORWARD)
def test_a_class_has_no_forward(cls: str) -> None:
    assert getattr(hf, cls).forward is torch.nn.Module.forward


def test_a_config_has_no_thresholds() -> None:
    assert hf.CONFIG_MAPPING["pp_doclayout_v2"]().class_thresholds is None


@pytest.mark.parametrize("name", CASES)
def test_the_real_model_raises(name: str) -> None:
    model_type, cls = name.split()
    smaller, inputs, words = CASES[name]
    config = hf.CONFIG_MAPPING[model_type]()
    text = getattr(config, "text_config", config)
    for key, value in smaller.items():
        assert hasattr(text, key)
        setattr(text, key, value)
    if (vision := getattr(config, "vision_config", None)) is not None:
        vision.num_hidden_layers = 1
    model = getattr(hf, cls)(text if "Text" in cls else config) if hasattr(hf, cls) else _inner(model_type, cls, text)
    with torch.no_grad(), pytest.raises((RuntimeError, ValueError)) as raised:
        model.eval()(**inputs)
    assert words in str(raised.value)


def _inner(model_type: str, cls: str, config: Any) -> Any:
    """A class that transformers does not show at its front."""
    from importlib import import_module

    package = model_type.removesuffix("_thinker")
    return getattr(import_module(f"transformers.models.{package}.modeling_{package}"), cls)(config)
