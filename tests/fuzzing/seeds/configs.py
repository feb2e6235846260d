"""Model folders without weights: configs of many architectures, files beside them, quantizations, remote code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.fuzzing.inputs import Files, Seed
from tests.model_folders import CONFIG, CONFIGURATION, MODELING, PARTS

HUB: Final = Path(__file__).parents[4] / "shared" / "hub"
"""Files of published models, where they lie beside the repository."""
TRACE: Final = ("trace", "model")
LLAMA: Final[dict[str, Any]] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", "vocab_size": 64,
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
"""Small enough that all kinds about something else can have it as their model."""
_LAYERS: Final = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers",
    "num_single_layers", "num_decoder_layers", "num_encoder_layers", "depth", "num_blocks",
)  # fmt: skip
_OF_LAYERS: Final = ("out_features", "out_indices", "_out_features", "_out_indices", "stage_names")
"""Keys that name layers, which must not name those that are left out."""
_LARGE: Final = (
    "FLUX.1-dev", "Nemotron-H-56B-Base-8K", "gemma-4-26B-A4B", "sam-vit-huge", "stable-cascade",
    "stable-diffusion-3-medium-diffusers", "stable-diffusion-v1-5", "stable-diffusion-xl-base-1.0",
)  # fmt: skip
"""Published models that take many seconds as they are."""
_FEW: Final = 1
_BASE: Final = (
    "albert", "bart", "beit", "bert", "bigbird_pegasus", "bloom", "blip-2", "clip", "codegen", "cohere", "convnext",
    "deberta-v2", "deepseek_v3", "deit", "dinov2", "distilbert", "electra", "falcon", "gemma", "gemma2",
    "gemma3", "gpt2", "gpt_neox", "gpt_oss", "gptj", "granite", "hubert", "internvl", "jamba", "layoutlmv3",
    "llama", "llama4", "llava", "longformer", "mamba", "mamba2", "marian", "mistral", "mixtral", "mllama", "mpt",
    "olmo2", "opt", "paligemma", "phi", "phi3", "phimoe", "pixtral", "qwen2", "qwen2_5_vl", "qwen2_moe",
    "qwen3", "qwen3_moe", "qwen3_next", "recurrent_gemma", "resnet", "roberta", "rwkv", "segformer", "siglip",
    "speecht5", "stablelm", "swin", "t5", "timesformer", "vit", "wav2vec2", "whisper", "xlm-roberta", "xlnet",
)  # fmt: skip


def folder(config: Mapping[str, Any], **more: bytes) -> dict[str, bytes]:
    """A model folder with this config.json."""
    return {"model/config.json": json.dumps(config, indent=1).encode(), **more}


def tiny(**more: Any) -> Files:
    """The folder of the small Llama."""
    return folder({**LLAMA, **more})


def few_layers(config: Any) -> Any:
    """The config with one layer wherever it counts them, also in its parts."""
    if isinstance(config, list):
        return [few_layers(one) for one in config]
    if not isinstance(config, dict):
        return config
    found = {key: few_layers(value) for key, value in config.items() if key not in _OF_LAYERS}
    for key in _LAYERS:
        if isinstance(found.get(key), int) and not isinstance(found[key], bool):
            found[key] = min(found[key], _FEW)
    if isinstance(found.get("layer_types"), list):
        found["layer_types"] = found["layer_types"][:_FEW]
    return found


def _architecture(model_type: str) -> Seed:
    import transformers
    from transformers.models.auto import modeling_auto

    if model_type not in {*transformers.CONFIG_MAPPING} & {*modeling_auto.MODEL_MAPPING_NAMES}:  # an older release
        model_type = "llama"
    config = transformers.CONFIG_MAPPING[model_type]().to_dict()
    named = (modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(model_type)
             or modeling_auto.MODEL_MAPPING_NAMES[model_type])  # fmt: skip
    cls = named if isinstance(named, str) else named[0]
    return Seed(folder(few_layers({**config, "architectures": [cls], "model_type": model_type})), TRACE)


def _beside(name: str, content: Any) -> Seed:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    clip = {"model_type": "vit", "architectures": ["ViTModel"], "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "image_size": 32, "patch_size": 8}  # fmt: skip
    files = folder(clip) if "processor" in name or "video" in name else dict(tiny())
    return Seed({**files, f"model/{name}": data}, TRACE, (f"model/{name}",))


def _quantized(settings: dict[str, Any]) -> Seed:
    return Seed({**tiny(quantization_config=settings, hidden_size=128, intermediate_size=128)}, TRACE)


def _own() -> Files:
    code = {"configuration_own": CONFIGURATION, "parts": PARTS, "modeling_own": MODELING}
    return {**folder(CONFIG), **{f"model/{name}.py": text.encode() for name, text in code.items()}}


def _hub(place: Path) -> Seed:
    files = {}
    for path in sorted(place.rglob("*.json")):
        data = path.read_bytes()
        if path.name == "config.json":
            config = json.loads(data)
            config.pop("auto_map", None)  # its code does not lie there: all would be refused for that
            data = json.dumps(few_layers(config)).encode()
        files[f"model/{path.relative_to(place).as_posix()}"] = data
    return Seed(files, TRACE)


def hub() -> dict[str, Callable[[], Seed]]:
    """A folder of each published model whose files lie beside the repository."""
    found = sorted(path for path in HUB.iterdir() if path.is_dir()) if HUB.is_dir() else []
    places = [path for path in found if path.name not in _LARGE]
    return {path.name: partial(_hub, path) for path in places}


ARCHITECTURES: Final = {name: partial(_architecture, name) for name in _BASE}
BESIDE: Final = {
    name: partial(_beside, name, content)
    for name, content in {
        "generation_config.json": {
            "bos_token_id": 1, "eos_token_id": [2, 3], "max_length": 64, "temperature": 0.6,
            "cache_implementation": None,
        },
        "preprocessor_config.json": {
            "image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "rescale_factor": 0.00392,
        },
        "processor_config.json": {"processor_class": "CLIPProcessor", "image_seq_length": 4, "patch_size": 8},
        "video_preprocessor_config.json": {"video_processor_type": "Qwen2VLVideoProcessor", "max_pixels": 1000},
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, "bos_token": "<s>",
            "added_tokens_decoder": {"0": {"content": "<s>", "special": True}}, "chat_template": "{{ messages }}",
        },
        "tokenizer.json": {
            "version": "1.0", "added_tokens": [{"id": 0, "content": "<s>", "special": True}], "normalizer": None,
            "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "vocab": {"<s>": 0, "a": 1}, "unk_token": "<s>"},
        },
        "special_tokens_map.json": {"bos_token": "<s>", "additional_special_tokens": ["<a>"]},
        "added_tokens.json": {"<a>": 60, "<b>": 61},
        "chat_template.jinja": b"{% for m in messages %}{{ m.content }}{% endfor %}",
        "vocab.json": {"a": 0, "b": 1},
        "quantize_config.json": {"bits": 4, "group_size": 16, "desc_act": False},
        "hf_quant_config.json": {"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": None}},
    }.items()
}  # fmt: skip
_BNB: Final = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
QUANTIZED: Final = {
    str(settings["quant_method"]) + more: partial(_quantized, settings)
    for more, settings in (
        ("", {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True}),
        ("", {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}),
        ("-4", {**_BNB, "bnb_4bit_compute_dtype": "bfloat16", "bnb_4bit_use_double_quant": True}),
        ("-8", {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": ["lm_head"]}),
        ("", {"quant_method": "fp8", "weight_block_size": [64, 64], "fmt": "e4m3", "activation_scheme": "dynamic"}),
        ("", {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head", "model.layers.*.self_attn"]}),
        ("", {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0, "modules_to_not_convert": ["lm_head"]}),
        ("", {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head", "re:.*gate"],
              "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
                  "num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "dynamic": False}}}}),
        ("", {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}),
        ("", {"quant_method": "quanto", "weights": "int8"}),
        ("", {"quant_method": "torchao", "quant_type": "int4_weight_only"}),
        ("", {"quant_method": "eetq", "weights": "int8"}),
        ("", {"quant_method": "aqlm", "in_group_size": 8, "nbits_per_codebook": 16}),
        ("", {"quant_method": "higgs", "bits": 4, "p": 2}),
        ("", {"quant_method": "modelopt", "quant_algo": "FP8"}),
    )
}  # fmt: skip
CODE: Final[dict[str, Callable[[], Seed]]] = {
    "own": lambda: Seed(_own(), TRACE),
    "llama": lambda: Seed({**tiny(), "model/modeling_llama.py": b"raise SystemExit(3)\n"}, TRACE),
}
