"""Two small diffusion pipelines with random weights, saved as a person has them, and really run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from analyzer.loaders.offline_processors import StandInTokenizer

_CLIP = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4,
    "max_position_embeddings": 77, "projection_dim": 32, "eos_token_id": 98, "bos_token_id": 97,
}  # fmt: skip
_VAE = {
    "block_out_channels": [32, 32], "down_block_types": ["DownEncoderBlock2D"] * 2, "latent_channels": 4,
    "up_block_types": ["UpDecoderBlock2D"] * 2, "norm_num_groups": 8,
}  # fmt: skip


def stable_diffusion() -> tuple[str, dict[str, Any]]:
    """Class and parts of a Stable Diffusion pipeline."""
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=16, cross_attention_dim=32, norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=8,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    parts = {
        "vae": diffusers.AutoencoderKL(**_VAE), "text_encoder": CLIPTextModel(CLIPTextConfig(**_CLIP)), "unet": unet,
        "scheduler": diffusers.DDIMScheduler(),
    }  # fmt: skip
    return "StableDiffusionPipeline", parts


def flux() -> tuple[str, dict[str, Any]]:
    """Class and parts of a FLUX pipeline."""
    transformer = diffusers.FluxTransformer2DModel(
        in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    t5 = T5EncoderModel(T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4))
    vae = diffusers.AutoencoderKL(**{**_VAE, "latent_channels": 1}, use_quant_conv=False, use_post_quant_conv=False,
                                  shift_factor=0.0, scaling_factor=1.0)  # fmt: skip
    parts = {
        "vae": vae, "text_encoder": CLIPTextModel(CLIPTextConfig(**_CLIP)), "text_encoder_2": t5,
        "transformer": transformer, "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
    }  # fmt: skip
    return "FluxPipeline", parts


def save(root: Path, name: str, parts: dict[str, Any]) -> Path:
    """The folder of a pipeline, with the marker that names its tokenizers as well."""
    import json

    index: dict[str, Any] = {"_class_name": name, "_diffusers_version": diffusers.__version__}
    for key, part in parts.items():
        part.save_pretrained(root / key)
        index[key] = [type(part).__module__.split(".")[0], type(part).__name__]
        if key.startswith("text_encoder"):
            kind = "CLIPTokenizer" if "CLIP" in type(part).__name__ else "T5TokenizerFast"
            index[key.replace("text_encoder", "tokenizer")] = ["transformers", kind]
    if name == "StableDiffusionPipeline":
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None]}
    (root / "model_index.json").write_text(json.dumps(index))
    return root


def real(root: Path, name: str, dtype: str | None, odd: dict[str, str]) -> Any:
    """The pipeline as diffusers loads it, with some parts cast to another dtype afterwards."""
    given = {} if dtype is None else {"torch_dtype": getattr(torch, dtype)}
    parts: dict[str, Any] = {}
    for folder in sorted(root.iterdir()):
        if folder.name.startswith("text_encoder"):
            cls = CLIPTextModel if folder.name == "text_encoder" else T5EncoderModel
            parts[folder.name] = cls.from_pretrained(folder, **given)
            tokenizer = StandInTokenizer(folder)
            tokenizer.know(parts[folder.name].config)
            parts[folder.name.replace("text_encoder", "tokenizer")] = tokenizer
        elif folder.name == "vae":
            parts["vae"] = diffusers.AutoencoderKL.from_pretrained(folder, **given)
        elif folder.name in ("unet", "transformer"):
            cls = diffusers.UNet2DConditionModel if folder.name == "unet" else diffusers.FluxTransformer2DModel
            parts[folder.name] = cls.from_pretrained(folder, **given)
        elif folder.name == "scheduler":
            kind = diffusers.DDIMScheduler if name.startswith("Stable") else diffusers.FlowMatchEulerDiscreteScheduler
            parts["scheduler"] = kind.from_pretrained(folder)
    if name == "StableDiffusionPipeline":
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    for part, other in odd.items():
        parts[part].to(getattr(torch, other))
    pipeline = getattr(diffusers, name)(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
