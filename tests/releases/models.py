"""The four models: configs as hubs hold them, small enough to be run, and the sample with its own code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from tests.samples.shrink import SAMPLES, shrink

_LLAMA: Final[dict[str, Any]] = {
    "model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "tie_word_embeddings": False, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_CLIP: Final[dict[str, Any]] = {
    "model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "image_size": 28, "patch_size": 14, "projection_dim": 32,
}  # fmt: skip
_CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "Llama": {"architectures": ["LlamaForCausalLM"], **_LLAMA},
    "Llava": {
        "architectures": ["LlavaForConditionalGeneration"], "model_type": "llava", "text_config": _LLAMA,
        "vision_config": _CLIP, "image_token_index": 63, "projector_hidden_act": "gelu", "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    },
    "T5": {
        "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 64, "d_model": 32,
        "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "is_encoder_decoder": True,
        "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
    },
}  # fmt: skip
SAMPLE: Final = "the sample"
MODELS: Final = (*_CONFIGS, SAMPLE)


def fill(model: str, folder: Path) -> None:
    """Put a model into an empty folder, without weights; the dtype under the name that every release reads."""
    if model == SAMPLE:
        shrink(SAMPLES / "minicpm_v_2", folder)
    else:
        config = {**_CONFIGS[model], "torch_dtype": "bfloat16"}
        (folder / "config.json").write_text(json.dumps(config, indent=2))
