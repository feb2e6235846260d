"""`make gallery`: draws models in their full-size default configs, some with a planted fault, into docs/gallery."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import transformers

from analyzer.actions.trace import run_trace
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from analyzer.render import FORMATS
from analyzer.report import Report

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture: its title, where the model is from, and what is planted in it."""

    file: str
    title: str
    says: str
    source: str
    """A model type, whose default config is built; a folder of the repository; or "diffusers"."""
    cls: str = ""
    plan: dict[str, Any] = field(default_factory=dict)


SHOWN: Final = (
    Shown("minicpm", "MiniCPM-V-2, the sample", "A position table stays in float32.", "samples/minicpm_v_2"),
    Shown("llama", "Llama, clean", "Nothing mixes: one box stands for all its layers.", "llama", "LlamaForCausalLM"),
    Shown("llama-layer", "Llama, one projection left in float32", "The one layer that differs is open.", "llama",
          "LlamaForCausalLM", {"set": {"model.layers.3.mlp.up_proj": "float32"}}),
    Shown("deepseek", "DeepSeek-V3, 256 experts a layer", "One projection is left in float32.",
          "deepseek_v3", "DeepseekV3ForCausalLM", {"set": {"model.layers.9.self_attn.o_proj": "float32"}}),
    Shown("whisper", "Whisper, float32 features", "The processor gives float32, the model is bfloat16.", "whisper",
          "WhisperForConditionalGeneration", {"input_dtypes": {"input_features": "float32"}}),
    Shown("llava", "LLaVA, two parts left in float32", "One norm of the vision tower, and the projector's last layer.",
          "llava", "LlavaForConditionalGeneration",
          {"set": {"model.vision_tower*layers.3.layer_norm1": "float32", "*projector.linear_2": "float32"}}),
    Shown("diffusion", "Stable Diffusion, its VAE in float32", "The latents come from a float16 UNet.",
          "diffusers", "StableDiffusionPipeline", {"dtype": "float16", "set": {"vae": "float32"}}),
    Shown("clip", "CLIP, the text tower left in float32", "Two towers, one dtype each, meet at the end.", "clip",
          "CLIPModel", {"set": {"text_model.*": "float32"}}),
)  # fmt: skip
"""What the gallery shows."""


def main() -> None:
    """Draw all of it and write the page."""
    (HERE / "gallery").mkdir(exist_ok=True)
    rows = ["# Gallery", "", "Made by `make gallery` from real configs; the models have their full size.", ""]
    for one in SHOWN:
        report = trace(one)
        (HERE / "gallery" / f"{one.file}.svg").write_bytes(FORMATS[".svg"](report))
        errors = sum(finding.severity == "error" for finding in report.findings)
        counted = f"{report.coverage.ops:,} operations, {report.parameters:,} parameters"
        said = f"{one.says} {counted}, {errors} error{'s' * (errors != 1)}."
        rows += [f"## {one.title}", "", said, "", f"![{one.title}](gallery/{one.file}.svg)", ""]
    (HERE / "gallery.md").write_text("\n".join(rows).rstrip() + "\n", encoding="utf-8")


def trace(one: Shown) -> Report:
    """The report that a picture is drawn from."""
    if "/" in one.source:
        return run_trace(ModelRequest(ROOT / one.source, Plan(**one.plan), trust_remote_code=True))
    with tempfile.TemporaryDirectory() as folder:
        (_pipeline if one.source == "diffusers" else _model)(one, Path(folder))
        return run_trace(ModelRequest(Path(folder), Plan(**{"dtype": "bfloat16", **one.plan})))


def _model(one: Shown, folder: Path) -> None:
    config = transformers.CONFIG_MAPPING[one.source](architectures=[one.cls])
    (folder / "config.json").write_text(json.dumps(config.to_dict(), default=str))


def _pipeline(one: Shown, folder: Path) -> None:
    """The parts of the first Stable Diffusion, in full size and without weights."""
    import diffusers

    with torch.device("meta"):
        blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
        parts = {
            "unet": diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
            "vae": diffusers.AutoencoderKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks),
            "scheduler": diffusers.PNDMScheduler(skip_prk_steps=True),
        }
    for name, part in parts.items():
        part.save_config(folder / name)
    transformers.CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, architectures=["CLIPTextModel"]
    ).save_pretrained(folder / "text_encoder")
    index = {name: ["diffusers", type(part).__name__] for name, part in parts.items()}
    index |= {"text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": one.cls, **index}))


if __name__ == "__main__":
    main()
