"""Small model folders with the quantisation configs that people publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import transformers as t

from analyzer.actions.trace import run_trace
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from analyzer.report import Report

TEXT: Final = {
    "vocab_size": 64, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "tie_word_embeddings": False,
}  # fmt: skip
BNB4: Final = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
BNB8: Final = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0}
GPTQ: Final = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False}
FP8: Final = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [32, 32]}
_GROUP: Final = {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}
PACKED: Final = {
    "quant_method": "compressed-tensors", "format": "float-quantized", "quantization_status": "compressed",
    "ignore": ["lm_head"], "config_groups": {"group_0": _GROUP},
}  # fmt: skip
METHODS: Final[dict[str, dict[str, Any]]] = {
    "bnb4": BNB4,
    "bnb4-twice": {**BNB4, "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16"},
    "bnb8": BNB8,
    "gptq": GPTQ,
    "gptq-3bit": {**GPTQ, "bits": 3, "group_size": -1},
    "auto-round": {**GPTQ, "quant_method": "auto-round", "packing_format": "auto_round:auto_gptq"},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True},
    "fp8": FP8,
    "fp8-tensor": {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None},
    "fp8-dequantized": {**FP8, "dequantize": True},
    "mxfp8": {**FP8, "quant_method": "mxfp8", "weight_block_size": [1, 32], "scale_fmt": "ue8m0"},
    "fbgemm": {"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0},
    "compressed-tensors": PACKED,
    "torchao-int4": {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}},
    "torchao-int8": {"quant_method": "torchao", "quant_type": "int8_weight_only"},
    "torchao-float8": {"quant_method": "torchao", "quant_type": {"default": {"_type": "Float8WeightOnlyConfig"}}},
    "mxfp4": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
    "eetq": {"quant_method": "eetq", "weights": "int8"},
    "bitnet": {"quant_method": "bitnet", "linear_class": "bitlinear"},
    "hqq": {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}, "skip_modules": ["lm_head"]},
    **{name: {"quant_method": name} for name in ("quanto", "aqlm", "spqr", "vptq", "higgs", "quark", "fp_quant")},
    **{name: {"quant_method": name} for name in ("nvfp4", "metal", "sinq", "gemma", "fouroversix", "gguf")},
    "unknown": {"quant_method": "exl3", "bits": 4.0},
    "mlx": {"group_size": 64, "bits": 4},
}
"""One config for each scheme, and for each way in which one may differ."""


def folder(
    root: Path, settings: Any, *, kind: Any = t.LlamaConfig, name: str = "LlamaForCausalLM", **more: Any
) -> Path:
    """A model folder without weights, whose config.json has these settings of quantisation."""
    config = kind(**{**TEXT, "architectures": [name], "dtype": "bfloat16", **more}).to_dict()
    root.mkdir(exist_ok=True)
    said = {"quantization_config": settings} if settings is not None else {}
    (root / "config.json").write_text(json.dumps({**config, **said}))
    return root


def traced(root: Path, **plan: Any) -> Report:
    """The report on a folder under a plan."""
    return run_trace(ModelRequest(root, Plan(**plan), trust_remote_code=True))


def held(root: Path, **plan: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    """What the loaded model holds: name -> dtype and shape."""
    inventory = traced(root, **plan).flow.inventory
    return {one.name: (one.spec.dtype, tuple(one.spec.shape)) for one in inventory.tensors}
