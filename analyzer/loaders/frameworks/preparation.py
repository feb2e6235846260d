"""Does to a loaded model what a recipe has its framework do before training: casts, k-bit preparation, a wide head."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from types import MethodType
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import nn

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Preparation
from analyzer.ir.reason import Reason
from analyzer.loaders.building import Built, retype
from analyzer.loaders.quantised.layer import StandIn

_PARTS: Final = {
    "norms": r"norm.*\.",
    "norm vectors": r"norm|ln",
    "gates": r"\.gate\.",
    "embeddings": r"(embed_tokens|lm_head|embed_in|embed_out|word_embeddings|^embeddings).*\.",
}
"""Part -> what its tensors' names have in them: of axolotl, and of LLaMA-Factory, which takes vectors alone."""
_HALVES: Final = (torch.float16, torch.bfloat16)


def before_adapter(built: Built, done: Preparation, loaded: str) -> Built:
    """The model as a framework hands it to peft; `loaded` is the dtype of loading."""
    model, reasons = built.module, dict(built.reasons)
    _cast_parts(model, done.widened, "float32", done.by, reasons)
    if done.kbit:
        _for_kbit(model, reasons)
    _cast_parts(model, done.narrowed, loaded, done.by, reasons)
    return replace(built, reasons=reasons)


def after_adapter(built: Built, done: Preparation) -> Built:
    """The model as a framework trains it once peft is done with it."""
    model: Any = built.module
    reasons = dict(built.reasons)
    if done.input_gradients and hasattr(model, "enable_input_require_grads"):
        model.enable_input_require_grads()
    dtype = done.kbit_trained_dtype if _in_kbit(model) and done.kbit_trained_dtype else done.trained_dtype
    for name, parameter in model.named_parameters() if dtype else ():
        if parameter.requires_grad:
            _cast(model, name, dtype, f"{done.by} casts what is trained", reasons)
    if done.float_head:
        _widen_head(model, done.by, reasons)
    return replace(built, reasons=reasons)


def _cast_parts(model: nn.Module, parts: tuple[str, ...], dtype: str, by: str, reasons: dict[str, Reason]) -> None:
    for part in parts:
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if re.search(_PARTS[part], name) and (part != "norm vectors" or tensor.dim() == 1):
                _cast(model, name, dtype, f"{by} casts {part}", reasons)


def _for_kbit(model: nn.Module, reasons: dict[str, Reason]) -> None:
    """As `prepare_model_for_kbit_training` of peft 0.21 does: it freezes all, and widens all 16-bit floats.

    Packed weights stay, whatever dtype they are stored in. Checkpointing and gradients of inputs are the caller's.
    """
    packed = {id(part.weight) for part in model.modules() if isinstance(part, StandIn) and hasattr(part, "weight")}
    for name, parameter in model.named_parameters():
        parameter.requires_grad = False
        if parameter.dtype in _HALVES and id(parameter) not in packed:
            _cast(model, name, "float32", "peft's prepare_model_for_kbit_training", reasons)


def _cast(model: nn.Module, name: str, dtype: str, by: str, reasons: dict[str, Reason]) -> None:
    path, _, leaf = name.rpartition(".")
    tensor = getattr(model.get_submodule(path), leaf)
    if tensor.is_floating_point() and tensor.dtype != getattr(torch, dtype):
        retype(model, name, getattr(torch, dtype))
        reasons[name] = Reason(f"cast to {dtype}: {by}", "cast_by_library")


def _in_kbit(model: nn.Module) -> bool:
    return any(type(part).__name__ in ("Linear4bit", "Linear8bitLt") for part in model.modules())


def _widen_head(model: Any, by: str, reasons: dict[str, Reason]) -> None:
    """As `_cast_lm_head_to_fp32` of trl/trainer/grpo_trainer.py (trl 1.16) does it.

    A tied embedding becomes wide with it, and its output is cast back. Raises AnalyzerError where trl stops: an
    adapter in the head, and a tied embedding under an adapter, whose `model.embed_tokens` it does not find.
    """
    head = getattr(model, "lm_head", None)
    if type(head) is not nn.Linear:
        raise AnalyzerError(
            f"cast_lm_head_to_fp32: the lm_head of {type(model).__name__} is no plain linear layer",
            hint="trl stops here too, or casts nothing: keep lm_head out of the adapter",
        )
    tied = getattr(model.config, "tie_word_embeddings", False)
    embedding = getattr(getattr(model, "model", None), "embed_tokens", None)
    if tied and embedding is None:
        words = f"'{type(getattr(model, 'model', model)).__name__}' object has no attribute 'embed_tokens'"
        raise AnalyzerError(f"cast_lm_head_to_fp32: {words}", hint="trl stops here too: its embedding is tied")
    before = head.weight.dtype
    paths = {path for path, part in model.named_modules() if part is head}
    for name, parameter in list(model.named_parameters(remove_duplicate=False)):
        if name.rpartition(".")[0] in paths or parameter is head.weight:
            reasons[name] = Reason(f"cast to float32: {by}'s cast_lm_head_to_fp32", "cast_by_library")
    head.float()
    wide: Any = head
    wide.forward = MethodType(_wide_forward, head)  # bound, so that a copy of the model has its own
    if tied and embedding is not None:
        embedding.register_forward_hook(_cast_back(before))


def _wide_forward(head: nn.Linear, hidden: torch.Tensor) -> torch.Tensor:
    bias = None if head.bias is None else head.bias.to(torch.float32)
    return F.linear(hidden.to(torch.float32), head.weight.to(torch.float32), bias)


def _cast_back(dtype: torch.dtype) -> Callable[[nn.Module, object, torch.Tensor], torch.Tensor]:
    def hook(module: nn.Module, args: object, output: torch.Tensor) -> torch.Tensor:
        return output.to(dtype)

    return hook
