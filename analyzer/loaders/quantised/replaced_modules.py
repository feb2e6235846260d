"""Which modules a scheme replaces: transformers' own rule where it can be asked, else the library's, said again."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

from torch import nn

from analyzer.loaders.quantised.schemes import EXACT, Scheme

_BLOCKS: Final = ("transformer.h", "model.decoder.layers", "gpt_neox.layers", "model.layers")
"""Where optimum looks for a model's blocks (optimum/gptq/constants.py, BLOCK_PATTERNS), in its order."""


def chosen(model: nn.Module, scheme: Scheme, settings: Mapping[str, object]) -> list[str]:
    """Paths of the modules that become quantised ones, in the model's order."""
    linears = [(path, module) for path, module in model.named_modules() if _is_linear(module, scheme)]
    if scheme.module in ("MarlinQuantLinear", "TorchQuantLinear"):
        return [path for path, _ in linears if _in_blocks(model, path, settings)]
    skips = skipped(model, scheme, settings)
    return [path for path, _ in linears if converts(path, skips)]


def skipped(model: Any, scheme: Scheme, settings: Mapping[str, Any]) -> list[str]:
    """Names and patterns of the modules that stay as they are."""
    listed = settings.get(scheme.listed)
    if scheme.module == "FP8Linear":
        listed = _renamed(model, listed)
    kept = getattr(model, "_keep_in_fp32_modules", None)
    try:
        from transformers.quantizers.base import HfQuantizer

        found: list[str] = HfQuantizer.get_modules_to_not_convert(model, listed, kept, scheme.defaults)
    except (ImportError, NameError, AttributeError, IndexError):  # transformers 4, or a model without its bookkeeping
        found = [*(listed or ()), *(kept or ())]
        if listed is None or scheme.defaults:
            found += _output(model)
    return sorted(set(found))


def converts(path: str, skips: list[str]) -> bool:
    """Whether the module at a path is replaced, as transformers matches names."""
    try:
        from transformers.quantizers.quantizers_utils import should_convert_module
    except ImportError:
        return not any(key in path.split(".") or f"{path}.".startswith(f"{key}.") for key in skips)
    return bool(should_convert_module(path, skips))


def _is_linear(module: nn.Module, scheme: Scheme) -> bool:
    if scheme.kind == EXACT:
        conv1d = scheme.module in ("Linear4bit", "Linear8bitLt") and type(module).__name__ == "Conv1D"
        return type(module) is nn.Linear or conv1d
    return isinstance(module, nn.Linear) or (type(module).__name__ == "Conv1D" and "Quant" in scheme.module)


def _in_blocks(model: Any, path: str, settings: Mapping[str, Any]) -> bool:
    modules = dict(model.named_modules())
    block = settings.get("block_name_to_quantize") or next((name for name in _BLOCKS if name in modules), "")
    inside = settings.get("modules_in_block_to_quantize")
    names = [name for group in inside or () for name in ([group] if isinstance(group, str) else group)]
    if not block:
        return path not in _output(model)
    return path.startswith(f"{block}.") and (not inside or path.endswith(tuple(names)))


def _renamed(model: Any, listed: object) -> object:
    """The list in the names of the installed transformers' own modules, as its quantizer rewrites it."""
    try:
        from transformers.quantizers.quantizer_finegrained_fp8 import FineGrainedFP8HfQuantizer as Quantizer

        holder: Any = SimpleNamespace(quantization_config=SimpleNamespace(modules_to_not_convert=listed))
        Quantizer._normalize_modules_to_not_convert(holder, model)
    except (ImportError, AttributeError):
        return listed
    return holder.quantization_config.modules_to_not_convert


def _output(model: Any) -> list[str]:
    output = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return [path for path, module in model.named_modules() if output is not None and module is output]
