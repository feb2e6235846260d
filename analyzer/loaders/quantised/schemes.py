"""What each way to quantise does to dtypes: one row a scheme, with the source that it is read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

HALF: Final = ("float16", "bfloat16")
INPUT, LOADED, CONFIG, HALVES = "input", "loaded", "config", "half"
"""Dtypes that a product runs in, where it is no fixed one: the input's, that of loading, bitsandbytes' compute dtype
from the config, and the input's if that has 16 bits, else float16."""
EXACT, ANY = "exact", "any"
"""Which modules are replaced: those whose class is nn.Linear itself, or also its subclasses."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the linear layers of one scheme store, take, compute and give."""

    module: str = ""
    """Class name of the modules that stand in the place of nn.Linear; "": they stay, with dense weights."""
    compute: str = LOADED
    back: bool = True
    """Whether the result is cast back to the input's dtype."""
    takes: tuple[str, ...] = ()
    """The only input dtypes that the kernel takes; empty: all."""
    words: str = ""
    """What the kernel says of another one, and `reference` is where that is read."""
    reference: str = ""
    kind: str = EXACT
    listed: str = "modules_to_not_convert"
    """The key of the config that names modules to leave alone."""
    defaults: bool = False
    """Whether the output layer and tied weights stay even where modules are listed."""
    late_bias: bool = False
    """Whether the bias is added to the finished product, in the dtype that it has."""
    unpacks: str = ""
    """The dtype that peft gets of a weight that the library unpacks outside the product (DoRA); "": it cannot."""
    loads: Mapping[str, str] | None = None
    """Dtype of loading -> what the quantizer makes of it ("*": any other one)."""
    names: tuple[str, ...] = ()
    """What a checkpoint calls the parts of a weight, after the module's path."""
    source: str = ""
    near: str = ""
    """What is only approximated; "" if nothing is."""
    frozen_dtype: str = ""
    """What transformers says when the loaded model is cast; "" if it lets one."""


_BNB_TO: Final = (
    "You cannot cast a bitsandbytes model in a new `dtype`. Make sure to load the model using `from_pretrained` using "
    "the desired `dtype` by passing the correct `dtype` argument."
)
_GPTQ_TO: Final = _BNB_TO.replace("bitsandbytes", "GPTQ")
_GPTQ_NAMES: Final = ("qweight", "qzeros", "scales", "g_idx")
_UNKNOWN: Final = "its kernels are not known here: linear layers are taken to compute in the dtype of loading"
_MARLIN: Final = "gpt_marlin_gemm only supports bfloat16 and float16"

SCHEMES: Final[dict[str, Scheme]] = {
    "bitsandbytes_4bit": Scheme(
        "Linear4bit", CONFIG, listed="llm_int8_skip_modules", frozen_dtype=_BNB_TO, unpacks=LOADED,
        names=("weight.absmax", "weight.quant_map", "weight.nested_absmax", "weight.nested_quant_map",
               "weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4"),
        source="bitsandbytes 0.50 nn/modules.py Linear4bit.forward, run on the CPU by the tests",
    ),
    "bitsandbytes_8bit": Scheme(
        "Linear8bitLt", "float16", listed="llm_int8_skip_modules", frozen_dtype=_BNB_TO, names=("SCB", "weight_format"),
        unpacks="float32",
        source="bitsandbytes 0.50 autograd/_functions.py MatMul8bitLt, run on the CPU by the tests",
        near="the int8 product is shown as one in float16, which is what its input is cast to",
    ),
    "gptq": Scheme(
        "MarlinQuantLinear", INPUT, takes=HALF, words=_MARLIN,
        reference="gptqmodel's copy of gptq_marlin.cu (vllm#28843)", kind=ANY, names=_GPTQ_NAMES, frozen_dtype=_GPTQ_TO,
        source="gptqmodel nn_modules/qlinear/marlin.py, optimum gptq/quantizer.py",
        near="taken to run gptqmodel's Marlin kernel",
    ),
    "gptq_torch": Scheme(
        "TorchQuantLinear", INPUT, kind=ANY, names=_GPTQ_NAMES, frozen_dtype=_GPTQ_TO,
        source="gptqmodel nn_modules/qlinear/torch.py, optimum gptq/quantizer.py",
        near="taken to run gptqmodel's torch kernel, as Marlin does not take these bits, groups or device",
    ),
    "awq": Scheme(
        "AwqGEMMLinear", HALVES, kind=ANY, defaults=True, names=("qweight", "qzeros", "scales"),
        loads={"bfloat16": "float16"},
        source="gptqmodel nn_modules/qlinear/gemm_awq.py, transformers quantizers/quantizer_awq.py",
        near="taken to run gptqmodel's GEMM kernel",
    ),
    "fp8": Scheme(
        "FP8Linear", INPUT, names=("weight_scale_inv", "activation_scale", "scale", "weight.scale"),
        source="transformers integrations/finegrained_fp8.py fp8_linear",
        near="the weight is shown as dequantised and the activation as not quantised; kernels take 16 bits, "
        "whether one refuses float32 is not known",
    ),
    "fbgemm_fp8": Scheme(
        "FbgemmFp8Linear", "bfloat16", back=False, kind=ANY, late_bias=True, names=("weight_scale",),
        loads={"*": "bfloat16"}, source="transformers integrations/fbgemm_fp8.py FbgemmFp8Linear.forward",
        near="the weight is shown as dequantised and the activation as not quantised",
    ),
    "eetq": Scheme(
        "EetqLinear", INPUT, kind=ANY, late_bias=True, names=("weight_scales",),
        source="transformers integrations/eetq.py EetqLinear, EETQ's fpA_intB_gemm_wrapper.cu",
        near="its kernel reads the bits of any input as float16 and says nothing: load it in float16",
    ),
    "bitnet": Scheme(
        "BitLinear", LOADED, back=False, kind=ANY, names=("weight_scale",),
        source="transformers integrations/bitnet.py BitLinear.forward",
        near="its scales are left out: those of a wider input would widen the result",
    ),
    "torchao_int8": Scheme(
        "Linear", INPUT, kind=ANY, names=("_weight_qdata", "_weight_scale", "_weight_zero_point"),
        source="torchao 0.18 Int8Tensor, run on the CPU", near="bytes are counted as if the weight were not packed",
    ),
    "torchao_int4": Scheme(
        "Linear", "bfloat16", kind=ANY, names=("_weight_qdata", "_weight_scale_and_zero", "_weight_scale",
                                               "_weight_zero_point"),
        source="torchao 0.18 Int4TilePackedTo4dTensor", near="bytes are counted as if the weight were not packed; the "
        "plain packing format takes bfloat16 alone",
    ),
    "torchao": Scheme(
        names=("_weight_qdata", "_weight_scale", "_weight_zero_point", "_weight_per_tensor_scale"),
        source="torchao 0.18 Float8Tensor, run on the CPU", near="bytes are counted as if the weight were not packed",
    ),
    "compressed-tensors": Scheme(
        names=("weight_packed", "weight_scale", "weight_zero_point", "weight_global_scale", "weight_shape",
               "weight_g_idx", "input_scale", "input_zero_point", "input_global_scale"),
        source="transformers quantizers/quantizer_compressed_tensors.py, compressed-tensors 0.15, run on the CPU",
        near="as after the first forward, which decompresses every weight to the dtype of loading; activations are "
        "shown as not quantised",
    ),
    "mxfp4": Scheme(
        names=("gate_up_proj_blocks", "gate_up_proj_scales", "down_proj_blocks", "down_proj_scales"),
        loads={"none": "bfloat16"}, source="transformers quantizers/quantizer_mxfp4.py",
        near="dequantised when loading, as without the packages triton and kernels; with them experts stay packed, "
        "take and give bfloat16",
    ),
    "fp_quant": Scheme(
        loads={"*": "bfloat16"}, source="transformers quantizers/quantizer_fp_quant.py", near=_UNKNOWN
    ),
    "quark": Scheme(
        frozen_dtype="Casting a Quark quantized model to a new `dtype` is not supported.",
        source="transformers modeling_utils.py", near=_UNKNOWN,
    ),
}  # fmt: skip
"""Names of `quant_method`, some told further apart by `variant`, that have a row. Others are read by name alone."""

UNKNOWN: Final = Scheme(near=_UNKNOWN)
"""Any other scheme that the installed transformers knows."""
_MARLIN_GROUPS: Final = (-1, 32, 64, 128)


def variant(method: str, settings: Mapping[str, object], device: str) -> str:
    """The name of the row for a config's `quant_method`, where other keys or the device tell rows apart.

    >>> variant("bitsandbytes", {"load_in_4bit": True}, "cuda")
    'bitsandbytes_4bit'
    """
    if settings.get("load_in_8bit") or settings.get("load_in_4bit"):
        return f"bitsandbytes_{'4bit' if settings.get('load_in_4bit') else '8bit'}"
    if method in ("gptq", "auto-round") and "gptq" in str(settings.get("packing_format", "gptq")):
        marlin = settings.get("bits") in (4, 8) and settings.get("sym", True)
        fits = settings.get("group_size", 128) in _MARLIN_GROUPS and device == "cuda"
        return "gptq" if marlin and fits else "gptq_torch"
    if method == "torchao":
        kind = str(_kind(settings.get("quant_type"))).lower()
        return next((f"torchao_{bits}" for bits in ("int4", "int8") if kind.startswith(bits)), method)
    return {"bitsandbytes": "bitsandbytes_4bit", "mxfp8": "fp8"}.get(method, method)


def loads_in(scheme: Scheme, dtype: str, *, named: bool, device: str) -> str:
    """The dtype that the quantizer makes of the one to load in; `named` says whether anything named that one."""
    table = scheme.loads or {}
    if not named and "none" in table:
        return table["none"]
    if scheme.module == "AwqGEMMLinear" and device == "cpu":  # AWQ looks whether a GPU is there
        return dtype
    return table.get(dtype, table.get("*", dtype))


def _kind(quant_type: object) -> Any:
    """The class name of a torchao config: `{"default": {"_type": ...}}` as saved now, a word as saved before."""
    inside = quant_type.get("default", quant_type) if isinstance(quant_type, Mapping) else quant_type
    return inside.get("_type", "") if isinstance(inside, Mapping) else inside
