"""Attention packages as modules whose functions keep the dtype contract of their kernels and compute nothing."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F

from analyzer.loaders.stubs.attention import FLASH_2, FLASH_3, XFORMERS, attend, rotate

Names = dict[str, Any]


def _flash(kernel: str) -> Names:
    """The functions of flash-attn; `kernel` says whose contract they have."""

    def result(made: Any, query: Any, probs: bool) -> Any:
        if not probs:
            return made
        return made, torch.empty(query.shape[:-1], dtype=torch.float32, device=query.device).transpose(-1, -2), None

    def flash_attn_func(
        q: Any, k: Any, v: Any, dropout_p: float = 0.0, softmax_scale: Any = None, causal: bool = False,
        window_size: Any = (-1, -1), softcap: float = 0.0, alibi_slopes: Any = None, deterministic: bool = False,
        return_attn_probs: bool = False, **_: object,
    ) -> Any:  # fmt: skip
        return result(attend(kernel, q, k, v, (*q.shape[:-1], v.shape[-1])), q, return_attn_probs)

    def flash_attn_varlen_func(
        q: Any, k: Any, v: Any, cu_seqlens_q: Any, cu_seqlens_k: Any, max_seqlen_q: Any = None,
        max_seqlen_k: Any = None, dropout_p: float = 0.0, softmax_scale: Any = None, causal: bool = False,
        window_size: Any = (-1, -1), softcap: float = 0.0, alibi_slopes: Any = None, deterministic: bool = False,
        return_attn_probs: bool = False, block_table: Any = None, **_: object,
    ) -> Any:  # fmt: skip
        return result(attend(kernel, q, k, v, (*q.shape[:-1], v.shape[-1])), q, return_attn_probs)

    def flash_attn_with_kvcache(
        q: Any, k_cache: Any, v_cache: Any, k: Any = None, v: Any = None, rotary_cos: Any = None,
        rotary_sin: Any = None, cache_seqlens: Any = None, *_: object, return_softmax_lse: bool = False, **__: object,
    ) -> Any:  # fmt: skip
        return result(attend(kernel, q, k_cache, v_cache, (*q.shape[:-1], v_cache.shape[-1])), q, return_softmax_lse)

    def flash_attn_qkvpacked_func(qkv: Any, *_: object, return_attn_probs: bool = False, **__: object) -> Any:
        q, k, v = qkv.unbind(-3)
        return flash_attn_func(q, k, v, return_attn_probs=return_attn_probs)

    def flash_attn_kvpacked_func(q: Any, kv: Any, *_: object, return_attn_probs: bool = False, **__: object) -> Any:
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

    def index_first_axis(input: Any, indices: Any) -> Any:
        return input.flatten(1)[indices].unflatten(1, input.shape[1:]) if input.dim() > 2 else input[indices]

    def unpad_input(hidden_states: Any, attention_mask: Any, unused_mask: Any = None) -> Any:
        mask = attention_mask if unused_mask is None else attention_mask + unused_mask
        lengths, used = mask.sum(-1, dtype=torch.int32), attention_mask.sum(-1, dtype=torch.int32)
        indices = torch.nonzero(mask.flatten(), as_tuple=False).flatten()
        ends = F.pad(torch.cumsum(lengths, 0, dtype=torch.int32), (1, 0))
        return index_first_axis(hidden_states.flatten(0, 1), indices), indices, ends, lengths.max().item(), used

    def pad_input(hidden_states: Any, indices: Any, batch: int, seqlen: int) -> Any:
        made = hidden_states.new_zeros((batch * seqlen, *hidden_states.shape[1:]))
        made[indices] = hidden_states
        return made.unflatten(0, (batch, seqlen))

    return {"index_first_axis": index_first_axis, "unpad_input": unpad_input, "pad_input": pad_input}


def _rotary() -> Names:
    def apply_rotary_emb(x: Any, cos: Any, sin: Any, *_: object, inplace: bool = False, **__: object) -> Any:
        made = rotate(x, cos, sin)
        return x.copy_(made) if inplace else made

    return {"apply_rotary_emb": apply_rotary_emb, "apply_rotary_emb_func": apply_rotary_emb}


def _xformers() -> Names:
    def memory_efficient_attention(
        query: Any, key: Any, value: Any, attn_bias: Any = None, p: float = 0.0, scale: Any = None, **_: object
    ) -> Any:
        return attend(XFORMERS, query, key, value, (*query.shape[:-1], value.shape[-1]))

    return {"memory_efficient_attention": memory_efficient_attention}


PACKAGES: Final[dict[str, tuple[str, str, dict[str, Callable[[], Names]]]]] = {
    "flash_attn": ("flash-attn", "2.8.3", {
        "flash_attn": lambda: _flash(FLASH_2),
        "flash_attn.flash_attn_interface": lambda: _flash(FLASH_2),
        "flash_attn.bert_padding": _padding,
        "flash_attn.layers.rotary": _rotary,
    }),
    "flash_attn_interface": ("flash-attn-3", "3.0.0", {"flash_attn_interface": lambda: _flash(FLASH_3)}),
    "xformers": ("xformers", "0.0.32", {"xformers.ops": _xformers, "xformers.ops.fmha": _xformers}),
}  # fmt: skip
"""Package -> its distribution's name, the version whose functions these are, and modules with contracts."""


def populate(module: types.ModuleType) -> None:
    """Give a stand-in module the functions that are known of it."""
    known = PACKAGES.get(module.__name__.split(".")[0])
    if known is not None and module.__name__ in known[2]:
        module.__dict__.update(known[2][module.__name__]())


def release(package: str) -> tuple[str, str] | None:
    """The distribution's name and the version that a package stands for; None of one that is inert."""
    known = PACKAGES.get(package)
    return known[:2] if known else None
