"""The packages of which more is known than their names: kernels of attention by their contracts, others faithful."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from analyzer.loaders.stubs.attention import FLASH_2, FLASH_3, XFORMERS, attend, rotate
from analyzer.loaders.stubs.faithful import einops, kernels, small_packages, timm, timm_vision, torchvision

Names = dict[str, Any]
Attended = Tensor | tuple[Tensor, Tensor, None]
"""The result, beside it the log-sum-exp where it is asked for, and no dropout mask."""


def _flash(kernel: str) -> Names:
    """The functions of flash-attn; `kernel` says whose contract they have."""

    def result(made: Tensor, query: Tensor, probs: bool) -> Attended:
        if not probs:
            return made
        return made, torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device).transpose(-1, -2), None

    def flash_attn_func(
        q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, softmax_scale: object = None, causal: bool = False,
        window_size: object = (-1, -1), softcap: float = 0.0, alibi_slopes: object = None, deterministic: bool = False,
        return_attn_probs: bool = False, **_: object,
    ) -> Attended:  # fmt: skip
        return result(attend(kernel, q, k, v, (*q.shape[:-1], v.shape[-1])), q, return_attn_probs)

    def flash_attn_varlen_func(
        q: Tensor, k: Tensor, v: Tensor, cu_seqlens_q: object, cu_seqlens_k: object, max_seqlen_q: object = None,
        max_seqlen_k: object = None, dropout_p: float = 0.0, softmax_scale: object = None, causal: bool = False,
        window_size: object = (-1, -1), softcap: float = 0.0, alibi_slopes: object = None, deterministic: bool = False,
        return_attn_probs: bool = False, block_table: object = None, **_: object,
    ) -> Attended:  # fmt: skip
        return result(attend(kernel, q, k, v, (*q.shape[:-1], v.shape[-1])), q, return_attn_probs)

    def flash_attn_with_kvcache(
        q: Tensor, k_cache: Tensor, v_cache: Tensor, k: object = None, v: object = None, rotary_cos: object = None,
        rotary_sin: object = None, cache_seqlens: object = None, *_: object, return_softmax_lse: bool = False,
        **__: object,
    ) -> Attended:  # fmt: skip
        return result(attend(kernel, q, k_cache, v_cache, (*q.shape[:-1], v_cache.shape[-1])), q, return_softmax_lse)

    def flash_attn_qkvpacked_func(qkv: Tensor, *_: object, return_attn_probs: bool = False, **__: object) -> Attended:
        q, k, v = qkv.unbind(-3)
        return flash_attn_func(q, k, v, return_attn_probs=return_attn_probs)

    def flash_attn_kvpacked_func(
        q: Tensor, kv: Tensor, *_: object, return_attn_probs: bool = False, **__: object
    ) -> Attended:
        k, v = kv.unbind(-3)
        return flash_attn_func(q, k, v, return_attn_probs=return_attn_probs)

    return {
        "flash_attn_func": flash_attn_func,
        "flash_attn_varlen_func": flash_attn_varlen_func,
        "flash_attn_unpadded_func": flash_attn_varlen_func,
        "flash_attn_with_kvcache": flash_attn_with_kvcache,
        "flash_attn_qkvpacked_func": flash_attn_qkvpacked_func,
        "flash_attn_varlen_qkvpacked_func": flash_attn_qkvpacked_func,
        "flash_attn_unpadded_qkvpacked_func": flash_attn_qkvpacked_func,
        "flash_attn_kvpacked_func": flash_attn_kvpacked_func,
        "flash_attn_varlen_kvpacked_func": flash_attn_kvpacked_func,
        "flash_attn_unpadded_kvpacked_func": flash_attn_kvpacked_func,
    }


def _padding() -> Names:
    """`flash_attn.bert_padding`: plain torch there as well, so that it is computed."""

    def index_first_axis(input: Tensor, indices: Tensor) -> Tensor:
        if input.dim() <= 2:
            return input[indices]
        made: Tensor = input.flatten(1)[indices].unflatten(1, input.shape[1:])  # type: ignore[no-untyped-call]
        return made

    def unpad_input(hidden_states: Tensor, attention_mask: Tensor, unused_mask: Tensor | None = None) -> object:
        mask = attention_mask if unused_mask is None else attention_mask + unused_mask
        lengths, used = mask.sum(-1, dtype=torch.int32), attention_mask.sum(-1, dtype=torch.int32)
        indices = torch.nonzero(mask.flatten(), as_tuple=False).flatten()
        ends = F.pad(torch.cumsum(lengths, 0, dtype=torch.int32), (1, 0))
        return index_first_axis(hidden_states.flatten(0, 1), indices), indices, ends, lengths.max().item(), used

    def pad_input(hidden_states: Tensor, indices: Tensor, batch: int, seqlen: int) -> Tensor:
        made = hidden_states.new_zeros((batch * seqlen, *hidden_states.shape[1:]))
        made[indices] = hidden_states
        parts: Tensor = made.unflatten(0, (batch, seqlen))  # type: ignore[no-untyped-call]
        return parts

    return {"index_first_axis": index_first_axis, "unpad_input": unpad_input, "pad_input": pad_input}


def _rotary() -> Names:
    def apply_rotary_emb(
        x: Tensor, cos: Tensor, sin: Tensor, *_: object, inplace: bool = False, **__: object
    ) -> Tensor:
        made = rotate(x, cos, sin)
        return x.copy_(made) if inplace else made

    return {"apply_rotary_emb": apply_rotary_emb, "apply_rotary_emb_func": apply_rotary_emb}


def _xformers() -> Names:
    def memory_efficient_attention(
        query: Tensor, key: Tensor, value: Tensor, attn_bias: object = None, p: float = 0.0, scale: object = None,
        **_: object,
    ) -> Tensor:  # fmt: skip
        return attend(XFORMERS, query, key, value, (*query.shape[:-1], value.shape[-1]))

    return {"memory_efficient_attention": memory_efficient_attention}


def _vision() -> Names:
    return {"VisionTransformer": timm_vision.VisionTransformer, "create_model": timm_vision.create_model}


def _small(module: str) -> dict[str, Callable[[], Names]]:
    return {module: lambda: dict(small_packages.MODULES[module])}


PACKAGES: Final[dict[str, tuple[str, str, dict[str, Callable[[], Names]]]]] = {
    "flash_attn": ("flash-attn", "2.8.3", {
        "flash_attn": lambda: _flash(FLASH_2),
        "flash_attn.flash_attn_interface": lambda: _flash(FLASH_2),
        "flash_attn.bert_padding": _padding,
        "flash_attn.layers.rotary": _rotary,
    }),
    "flash_attn_interface": ("flash-attn-3", "3.0.0", {"flash_attn_interface": lambda: _flash(FLASH_3)}),
    "xformers": ("xformers", "0.0.32", {"xformers.ops": _xformers, "xformers.ops.fmha": _xformers}),
    "einops": ("einops", "0.8.2", {
        "einops": einops.functions, "einops.einops": einops.functions, "einops.layers.torch": einops.layers,
    }),
    "einops_exts": ("einops-exts", "0.0.4", {"einops_exts": einops.many}),
    "timm": ("timm", "1.0.31", {
        **timm.modules(), **dict.fromkeys(("timm", "timm.models"), _vision),
        "timm.models.vision_transformer": lambda: timm.layers() | _vision(),
    }),
    "torchvision": ("torchvision", "0.26.0", torchvision.modules()),
    "easydict": ("easydict", "1.13", _small("easydict")),
    "addict": ("addict", "2.4.0", _small("addict")),
    "munch": ("munch", "4.0.0", _small("munch")),
    "fvcore": ("fvcore", "0.1.5", _small("fvcore.common.registry")),
    "cpm_kernels": ("cpm-kernels", "1.0.11", {"cpm_kernels.kernels.base": kernels.cpm_kernels}),
    "triton": ("triton", "3.5.0", {"triton": kernels.triton, "triton.testing": kernels.timings}),
    "mamba_ssm": ("mamba-ssm", "2.2.6", {"mamba_ssm.ops.triton.layernorm_gated": kernels.layernorm_gated}),
    "loguru": ("loguru", "0.7.3", _small("loguru")),
    "termcolor": ("termcolor", "3.1.0", _small("termcolor")),
}  # fmt: skip
"""Package -> its distribution's name, the version whose functions these are, and modules with contracts."""


KERNELS: Final = frozenset({"flash_attn", "flash_attn_interface", "xformers"})
"""Packages of kernels that no abstract tensor can be given: they are stood in for where they are installed too."""
LAUNCHED: Final = frozenset({"cpm_kernels", "triton"})
"""Packages whose kernels are launched over what is to be filled: the model's own code gets stand-ins on a GPU."""


def populate(module: types.ModuleType, name: str) -> None:
    """Give a stand-in of the module `name` the functions that are known of it."""
    known = PACKAGES.get(name.split(".")[0])
    if known is not None and name in known[2]:
        module.__dict__.update(known[2][name]())


def stood_for(package: str) -> str:
    """What a report says of a package that is stood in for."""
    known = PACKAGES.get(package)
    if known is None:
        return "an inert stand-in"
    what = "dtype contract" if package in KERNELS else "documented shapes and dtypes"
    if package in LAUNCHED:
        return f"stood in for by kernels that write nothing, as those of {known[0]} {known[1]} are launched"
    return f"stood in for by the {what} of {known[0]} {known[1]}"


def is_known(module: str) -> bool:
    """Whether something is known of a module, or of one in it."""
    known = PACKAGES.get(module.split(".")[0])
    return known is not None and any(f"{one}.".startswith(f"{module}.") for one in known[2])


def release(package: str) -> tuple[str, str] | None:
    """The distribution's name and the version that a package stands for; None of one that is inert."""
    known = PACKAGES.get(package)
    return known[:2] if known else None
