"""Models of several parts: diffusion pipelines, sentence-transformers, timm."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

from tests.fuzzing.inputs import Content, Seed
from tests.fuzzing.seeds.configs import TRACE

_CLIP: Final = {
    "model_type": "clip_text_model", "architectures": ["CLIPTextModel"], "vocab_size": 99, "hidden_size": 32,
    "intermediate_size": 37, "num_hidden_layers": 1, "num_attention_heads": 4, "max_position_embeddings": 77,
    "projection_dim": 32, "bos_token_id": 97, "eos_token_id": 98,
}  # fmt: skip
_T5: Final = {
    "model_type": "t5", "architectures": ["T5EncoderModel"], "vocab_size": 99, "d_model": 32, "d_kv": 8, "d_ff": 37,
    "num_layers": 1, "num_heads": 4,
}  # fmt: skip
_VAE: Final = {
    "_class_name": "AutoencoderKL", "block_out_channels": [32, 32], "down_block_types": ["DownEncoderBlock2D"] * 2,
    "latent_channels": 4, "up_block_types": ["UpDecoderBlock2D"] * 2, "norm_num_groups": 8, "layers_per_block": 1,
}  # fmt: skip
_UNET: Final = {
    "_class_name": "UNet2DConditionModel", "block_out_channels": [32, 64], "layers_per_block": 1, "sample_size": 16,
    "cross_attention_dim": 32, "norm_num_groups": 8, "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "attention_head_dim": 8, "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip
_FLUX: Final = {
    "_class_name": "FluxTransformer2DModel", "in_channels": 4, "num_layers": 1, "num_single_layers": 1,
    "attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 32, "pooled_projection_dim": 32,
    "axes_dims_rope": [4, 4, 8], "guidance_embeds": True,
}  # fmt: skip
_DDIM: Final = {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_schedule": "scaled_linear"}
_EULER: Final = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
_NONE: Final = [None, None]
_DIFFUSION: Final[dict[str, Any]] = {
    "model_index.json": {
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.30.0", "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": _NONE, "feature_extractor": _NONE,
    },
    "vae/config.json": _VAE, "text_encoder/config.json": _CLIP, "unet/config.json": _UNET,
    "scheduler/scheduler_config.json": _DDIM,
}  # fmt: skip
_FLUXES: Final[dict[str, Any]] = {
    "model_index.json": {
        "_class_name": "FluxPipeline", "_diffusers_version": "0.30.0", "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "text_encoder_2": ["transformers", "T5EncoderModel"], "tokenizer_2": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    },
    "vae/config.json": {**_VAE, "latent_channels": 1, "use_quant_conv": False, "use_post_quant_conv": False,
                        "shift_factor": 0.0, "scaling_factor": 1.0},
    "text_encoder/config.json": _CLIP, "text_encoder_2/config.json": _T5, "transformer/config.json": _FLUX,
    "scheduler/scheduler_config.json": _EULER,
}  # fmt: skip
_BERT: Final = {
    "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32,
    "num_hidden_layers": 1, "num_attention_heads": 2, "dtype": "bfloat16",
}  # fmt: skip
_MODULES: Final = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense", "3_Normalize": "Normalize"}
_SENTENCES: Final[dict[str, Any]] = {
    "config.json": _BERT,
    "modules.json": [{"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
                     for n, (path, kind) in enumerate(_MODULES.items())],
    "1_Pooling/config.json": {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True},
    "2_Dense/config.json": {"in_features": 16, "out_features": 8,
                            "activation_function": "torch.nn.modules.activation.Tanh"},
    "sentence_bert_config.json": {"max_seq_length": 32, "do_lower_case": False},
    "config_sentence_transformers.json": {"prompts": {}, "similarity_fn_name": "cosine"},
}  # fmt: skip


def _folder(parts: dict[str, Any], often: tuple[str, ...] = (), argv: tuple[str, ...] = TRACE) -> Seed:
    files: dict[str, Content] = {f"model/{name}": json.dumps(part).encode() for name, part in parts.items()}
    return Seed(files, argv, (*files, *(f"model/{name}" for name in often)))


def _timm(settings: dict[str, Any]) -> Seed:
    return _folder({"config.json": {"num_classes": 10, **settings}})


_INDEX: Final = ("model_index.json", "model_index.json")
_LISTS: Final = ("modules.json", "modules.json", "2_Dense/config.json")
PIPELINES: Final = {
    "stable diffusion": partial(_folder, _DIFFUSION, _INDEX),
    "flux": partial(_folder, _FLUXES, _INDEX),
    **{str(part["_class_name"]): partial(_folder, {"config.json": part}) for part in (_UNET, _VAE)},
}
SENTENCES: Final = {
    "as it is": partial(_folder, _SENTENCES, _LISTS),
    "stubs": partial(_folder, _SENTENCES, _LISTS, (*TRACE, "--stub", "scipy,sklearn")),
}
TIMM: Final = {
    "resnet18": partial(_timm, {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 64, 64]}}),
    "vit": partial(_timm, {"architecture": "vit_tiny_patch16_224", "model_args": {"depth": 1},
                           "pretrained_cfg": {"input_size": [3, 224, 224], "mean": [0.5], "std": [0.5]}}),
}  # fmt: skip
