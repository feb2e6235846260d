"""PEFT adapters for the small Llama, alone and with their base, with and without their weights."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

from tests.fuzzing.inputs import Content, Seed
from tests.fuzzing.laws.archives import safetensors
from tests.fuzzing.seeds.checkpoints import header
from tests.fuzzing.seeds.configs import tiny

_CAUSAL: Final = {"task_type": "CAUSAL_LM", "base_model_name_or_path": "model", "inference_mode": True}
_TARGETS: Final = {"target_modules": ["q_proj", "v_proj"]}
_LORA: Final[dict[str, Any]] = {
    "peft_type": "LORA", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none", "use_rslora": False,
    "use_dora": False, "init_lora_weights": True, "rank_pattern": {}, "alpha_pattern": {}, "modules_to_save": None,
    "layers_to_transform": None, "layers_pattern": None, "fan_in_fan_out": False, "exclude_modules": None, **_TARGETS,
}  # fmt: skip
_KINDS: Final[dict[str, dict[str, Any]]] = {
    "lora": _LORA,
    "lora more": {**_LORA, "use_dora": True, "modules_to_save": ["lm_head"], "layers_to_transform": [0],
                  "rank_pattern": {"q_proj": 2}, "trainable_token_indices": [1, 2]},
    "lora all": {**_LORA, "target_modules": "all-linear", "use_rslora": True},
    "lora pattern": {**_LORA, "target_modules": r".*layers\.\d+\.self_attn\.(q|k)_proj", "exclude_modules": "x.*"},
    "ia3": {"peft_type": "IA3", "target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    "adalora": {"peft_type": "ADALORA", "init_r": 4, "target_r": 2, "total_step": 10, "lora_alpha": 8, **_TARGETS},
    "vera": {"peft_type": "VERA", "r": 4, "projection_prng_key": 0, "save_projection": True, **_TARGETS},
    "prefix": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 3, "token_dim": 16, "num_layers": 1,
               "num_attention_heads": 4, "num_transformer_submodules": 1, "encoder_hidden_size": 16,
               "prefix_projection": False},
    "prompt": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3, "token_dim": 16, "num_layers": 1,
               "num_attention_heads": 4, "prompt_tuning_init": "RANDOM", "prompt_tuning_init_text": None},
    "p": {"peft_type": "P_TUNING", "num_virtual_tokens": 3, "encoder_hidden_size": 16, "token_dim": 16},
    "loha": {"peft_type": "LOHA", "r": 4, "alpha": 8, **_TARGETS},
    "lokr": {"peft_type": "LOKR", "r": 4, "alpha": 8, "decompose_factor": -1, **_TARGETS},
    "oft": {"peft_type": "OFT", "r": 4, "oft_block_size": 0, **_TARGETS},
    "boft": {"peft_type": "BOFT", "boft_block_size": 4, **_TARGETS},
    "fourier": {"peft_type": "FOURIERFT", "n_frequency": 10, **_TARGETS},
    "tokens": {"peft_type": "TRAINABLE_TOKENS", "token_indices": [1, 2], "target_modules": ["embed_tokens"]},
    "hra": {"peft_type": "HRA", "r": 4, **_TARGETS},
    "vblora": {"peft_type": "VBLORA", "r": 2, "vector_length": 4, "num_vectors": 4, "topk": 2, **_TARGETS},
}  # fmt: skip
_SETTINGS, _WEIGHTS = "adapter/adapter_config.json", "adapter/adapter_model.safetensors"


def _adapter(settings: dict[str, Any], alone: bool) -> Seed:
    files: dict[str, Content] = dict(tiny())
    files[_SETTINGS] = json.dumps({**_CAUSAL, **settings}).encode()
    foreign = [_SETTINGS, _SETTINGS]
    if settings["peft_type"] == "LORA":
        path = "base_model.model.model.layers.0.self_attn"
        shapes = {f"{path}.{module}.lora_{side}.weight": [4, 16] if side == "A" else [16, 4]
                  for module in ("q_proj", "v_proj") for side in "AB"}  # fmt: skip
        files[_WEIGHTS] = safetensors(*header(shapes))
        foreign.append(_WEIGHTS)
    argv = ("trace", "adapter") if alone else ("trace", "model", "--adapter", "adapter")
    return Seed(files, argv, tuple(foreign))


ADAPTERS: Final = {
    f"{name} {'alone' if alone else 'beside'}": partial(_adapter, settings, alone)
    for name, settings in _KINDS.items()
    for alone in (True, False)
}
