"""What is said of default configs that transformers itself cannot run is so."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest
import torch
import transformers as hf

from tests.coverage.beside import lies_beside
from tests.coverage.explained import REAL_TOO

pytestmark = pytest.mark.skipif(int(hf.__version__.split(".")[0]) < 5, reason="these are types of transformers 5")

IDS = {"input_ids": torch.ones(1, 16, dtype=torch.long)}
IMAGE = {"pixel_values": torch.zeros(1, 3, 224, 224)}
FEW = {"num_hidden_layers": 1, "vocab_size": 8, "hidden_size": 2048, "pad_token_id": 0}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "pp_ocrv6_small_det PPOCRV6SmallDetModel": ("PPOCRV6SmallDetModel", {}, IMAGE, "to have 12 channels, but got 384"),
    "qwen3_omni_moe_thinker Qwen3OmniMoeThinkerModel": (
        "Qwen3OmniMoeThinkerTextModel", {**FEW, "num_experts": 8, "moe_intermediate_size": 8}, IDS, "(73)",
    ),
    "step3p7 Step3p7Model": (
        "Step3p7Model",
        {**FEW, "n_routed_experts": 8, "layer_types": ["full_attention"], "mlp_layer_types": ["dense"],
         "hidden_size": 64, "intermediate_size": 64},
        IDS, "`sliding_window`",
    ),
    "uvdoc UVDocModel": ("UVDocModel", {}, IMAGE, "to have 768 channels, but got 128"),
    "glm4v_text Glm4vTextModel": ("Glm4vTextModel", {**FEW, "hidden_size": 4096}, IDS, "split_sizes=[8, 12, 12]"),
    "glm4v_moe_text Glm4vMoeTextModel": (
        "Glm4vMoeTextModel", {**FEW, "hidden_size": 4096}, IDS, "split_sizes=[8, 12, 12]",
    ),
    "glm_image_text GlmImageTextModel": (
        "GlmImageTextModel", {**FEW, "hidden_size": 4096}, IDS, "split_sizes=[8, 12, 12]",
    ),
    "blip-2 Blip2ForImageTextRetrieval": (
        "Blip2ForImageTextRetrieval", {}, {**IDS, **IMAGE}, "has no attribute 'intermediate'",
    ),
    "llama4 Llama4VisionModel": (
        "Llama4VisionModel", {}, {"pixel_values": torch.zeros(1, 3, 448, 448)}, "(256x3072 and 5632x4096)",
    ),
    "vitmatte VitMatteForImageMatting": (
        "VitMatteForImageMatting", {}, IMAGE, "to have 576 channels, but got 960 channels",
    ),
    "lw_detr LwDetrModel": ("LwDetrModel", {}, {"pixel_values": torch.zeros(1, 3, 192, 192)}, "non-empty list"),
    "deepseek_v2 DeepseekV2Model": (
        "DeepseekV2Model", {**FEW, "hidden_size": 64, "intermediate_size": 8, "moe_intermediate_size": 8}, IDS, "'k'",
    ),
}  # fmt: skip
"""A name in the table -> class that shows it, what is made smaller, inputs, and words of the error."""
LACKING = {
    "pp_doclayout_v2 PPDocLayoutV2ForObjectDetection": "class_thresholds",
    "blip-2 Blip2Model": "image_token_id",
    "instructblip InstructBlipModel": "image_token_id",
    "instructblipvideo InstructBlipVideoModel": "video_token_id",
}
"""A name in the table -> what its default config does not say."""
WITH_TIMM = {"edgetam_vision_model EdgeTamVisionModel": "to have 384 channels, but got 1024 channels"}
"""The same, of what needs timm: its real run is one of a process of its own."""
REAL_RUN = """
import sys
from tests.coverage.beside import BESIDE, STOOD_IN, environment
sys.path.append(str(BESIDE))
with environment("cpu", STOOD_IN):
    import torch, transformers
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(sys.argv[1])).eval()
    model(torch.zeros(1, 3, 64, 64))
"""
WITHOUT_FORWARD = [name for name, why in REAL_TOO.items() if "has no forward" in why]


def test_every_reason_is_shown() -> None:
    assert {REAL_TOO[name] for name in (*CASES, *LACKING, *WITHOUT_FORWARD, *WITH_TIMM)} == set(REAL_TOO.values())


@pytest.mark.parametrize("name", CASES)
def test_the_real_model_raises(name: str) -> None:
    cls, smaller, inputs, words = CASES[name]
    kind = hf.CONFIG_MAPPING[name.split()[0]]
    config = kind.from_dict(json.loads(kind().to_json_string(use_diff=False)))  # as a folder holds it
    text = getattr(config, "text_config", config)
    for key, value in smaller.items():
        setattr(text, key, value)
    if (vision := getattr(config, "vision_config", None)) is not None:
        vision.num_hidden_layers = 1
    made = _class(name, cls)
    model = made(next(one for one in (config, *vars(config).values()) if isinstance(one, made.config_class)))
    with torch.no_grad(), pytest.raises((RuntimeError, ValueError, TypeError, AttributeError)) as raised:
        model.eval()(**inputs)
    assert words in str(raised.value)


@pytest.mark.skipif(not lies_beside("timm"), reason="no packages beside: make installs them")
@pytest.mark.parametrize("name", WITH_TIMM)
def test_the_real_model_around_timm_raises(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", REAL_RUN, name.split()[0]], capture_output=True, text=True)
    assert done.returncode and WITH_TIMM[name] in done.stderr


@pytest.mark.parametrize("name", LACKING)
def test_a_default_config_does_not_say_it(name: str) -> None:
    assert getattr(hf.CONFIG_MAPPING[name.split()[0]](), LACKING[name]) is None


@pytest.mark.parametrize("name", WITHOUT_FORWARD)
def test_a_class_has_no_forward(name: str) -> None:
    assert _class(name, name.split()[1]).forward is torch.nn.Module.forward


def _class(name: str, cls: str) -> Any:
    """A class, though transformers may not show it at its front."""
    package = name.split()[0].replace("-", "_").removesuffix("_thinker").removesuffix("_text").removesuffix("_vqmodel")
    return getattr(hf, cls, None) or getattr(import_module(f"transformers.models.{package}.modeling_{package}"), cls)
