"""Attributes and methods that older transformers gave its classes: put back while remote code runs, each said once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch

from analyzer.capture.emulation.cuda import Asks
from analyzer.capture.patching import patched
from analyzer.ir.findings import Note
from analyzer.loaders.versions.old_names import caches
from analyzer.loaders.versions.old_names.outputs import as_declared

_CONFIG: Final[dict[str, Any]] = {
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "decoder_start_token_id")),
    **dict.fromkeys(("cross_attention_hidden_size", "finetuning_task", "task_specific_params", "prefix")),
    **dict.fromkeys(("is_decoder", "add_cross_attention", "tie_encoder_decoder", "torchscript", "use_bfloat16"), False),
    "tie_word_embeddings": True,
    "output_scores": False,
    "pruned_heads": {},
    "use_cache": True,
    "tokenizer_class": None,
    # how to generate, which a GenerationConfig alone says now
    **dict.fromkeys(("do_sample", "early_stopping", "return_dict_in_generate", "remove_invalid_values"), False),
    **dict.fromkeys(("bad_words_ids", "forced_bos_token_id", "forced_eos_token_id", "suppress_tokens")),
    **dict.fromkeys(("begin_suppress_tokens", "exponential_decay_length_penalty")),
    **dict.fromkeys(("num_beams", "num_beam_groups", "num_return_sequences"), 1),
    **dict.fromkeys(("temperature", "top_p", "typical_p", "repetition_penalty", "length_penalty"), 1.0),
    **dict.fromkeys(("min_length", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), 0),
    "diversity_penalty": 0.0,
    "max_length": 20,
    "top_k": 50,
}
"""Defaults of `PretrainedConfig` in transformers 4.57, and of attributes that its subclasses inherited."""


@contextmanager
def restored(note: Note, asks: Asks) -> Iterator[None]:
    """While this lasts, transformers' classes have what they had in 4.57, as far as something faithful is known.

    Defaults of a config are there for frames that `asks` picks: others have their own ideas of them.
    """
    import transformers

    if int(transformers.__version__.split(".")[0]) < 5:
        yield  # these have them
        return
    from transformers import cache_utils, modeling_rope_utils

    with ExitStack() as stack:
        config = getattr(transformers, "PretrainedConfig")  # noqa: B009 (a lazy module: mypy knows no such name)
        for name, value in _CONFIG.items():
            _lend(stack, config, name, _Default(f"config.{name}", value, note, asks))
        for name, value in _MODEL.items():
            _lend(stack, transformers.PreTrainedModel, name, _noting(value, f"PreTrainedModel.{name}", note))
        for kind, members in caches.MEMBERS.items():
            for name, value in members.items():
                _lend(stack, getattr(cache_utils, kind), name, _noting(value, f"{kind}.{name}", note))
        for kind, made in caches.FROM_LEGACY.items():
            _lend(stack, getattr(cache_utils, kind), "from_legacy_cache", caches.from_legacy(kind, made, note))
        tied: Any = transformers.PreTrainedModel
        if hasattr(tied, "get_expanded_tied_weights_keys"):
            stack.enter_context(
                patched(
                    tied, "get_expanded_tied_weights_keys", _expanded(tied.get_expanded_tied_weights_keys, note),
                    what="transformers.PreTrainedModel.get_expanded_tied_weights_keys",
                    why="Old code gives the names of tied weights as a list.", versions="transformers 5",
                )
            )  # fmt: skip
        stack.enter_context(as_declared(note))
        rope = modeling_rope_utils.ROPE_INIT_FUNCTIONS
        if "default" not in rope:
            stack.enter_context(
                patched(
                    rope, "default", _rope(note), what="transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS",
                    why="Old code looks the plain rotary frequencies up there.", versions="transformers 5",
                )
            )  # fmt: skip
        yield


class _Default:
    """An attribute that instances without one of their own have."""

    def __init__(self, what: str, value: object, note: Note, asks: Asks) -> None:
        self._what, self._value, self._note, self._asks = what, value, note, asks

    def __get__(self, instance: object, owner: object = None) -> Any:
        frame = sys._getframe(1)
        while frame.f_code.co_name.startswith("__getattr") and frame.f_back is not None:
            frame = frame.f_back
        if instance is None or not self._asks(frame):
            raise AttributeError(self._what)
        self._note(f"{self._what}, which the installed transformers does not set", f"{self._value}, as 4.57 set it")
        return dict(self._value) if isinstance(self._value, dict) else self._value


def _get_head_mask(self: Any, head_mask: Any, num_hidden_layers: int, is_attention_chunked: bool = False) -> object:
    if head_mask is None:
        return [None] * num_hidden_layers
    if head_mask.dim() == 1:
        head_mask = head_mask[None, None, :, None, None].expand(num_hidden_layers, -1, -1, -1, -1)
    elif head_mask.dim() == 2:
        head_mask = head_mask[:, None, :, None, None]
    head_mask = head_mask.to(dtype=self.dtype)
    return head_mask[..., None] if is_attention_chunked else head_mask


def _get_extended_attention_mask(
    self: Any, attention_mask: torch.Tensor, input_shape: Any, device: Any = None, dtype: torch.dtype | None = None
) -> torch.Tensor:
    dtype = dtype or self.dtype
    mask = attention_mask[:, None] if attention_mask.dim() == 3 else attention_mask[:, None, None, :]
    if attention_mask.dim() == 2 and getattr(self.config, "is_decoder", False):
        places = torch.arange(input_shape[1], device=attention_mask.device)
        causal = (places[None, None, :] <= places[None, :, None]).to(attention_mask.dtype)
        past = attention_mask.shape[1] - input_shape[1]
        if past > 0:
            causal = torch.cat([causal.new_ones((1, input_shape[1], past)), causal], dim=-1)
        mask = causal[:, None] * mask
    return (1.0 - mask.to(dtype=dtype)) * torch.finfo(dtype).min


def _invert_attention_mask(self: Any, encoder_attention_mask: torch.Tensor) -> torch.Tensor:
    three = encoder_attention_mask.dim() == 3
    mask = encoder_attention_mask[:, None] if three else encoder_attention_mask[:, None, None, :]
    return (1.0 - mask.to(dtype=self.dtype)) * torch.finfo(self.dtype).min


def _tie_or_clone_weights(self: object, output_embeddings: Any, input_embeddings: Any) -> None:
    output_embeddings.weight = input_embeddings.weight


_MODEL: Final[dict[str, object]] = {
    "get_head_mask": _get_head_mask,
    "get_extended_attention_mask": _get_extended_attention_mask,
    "invert_attention_mask": _invert_attention_mask,
    "_tie_or_clone_weights": _tie_or_clone_weights,
    "warnings_issued": {},
    "is_parallelizable": False,
    "framework": "pt",
}


def _expanded(original: Any, note: Note) -> object:
    """Tied names as a list, as before 5: each is tied to the input embeddings, which is what was done with them."""

    def get_expanded_tied_weights_keys(self: Any, all_submodels: bool = False) -> object:
        keys = self._tied_weights_keys
        if all_submodels or keys is None or isinstance(keys, dict):
            return original(self, all_submodels)
        known = dict(self.named_parameters(remove_duplicate=False))
        source = self.get_input_embeddings()
        name = next((n for n, m in self.named_modules() if m is source), None)
        tied = name is not None and getattr(self.config, "tie_word_embeddings", True)
        note("_tied_weights_keys as a list, which the installed transformers does not take", "tied to the embeddings")
        return {key: f"{name}.weight" for key in keys if key in known and key != f"{name}.weight"} if tied else {}

    return get_expanded_tied_weights_keys


def _rope(note: Note) -> object:
    def default(config: Any = None, device: Any = None, seq_len: int | None = None, **kwargs: Any) -> tuple[Any, float]:
        note('ROPE_INIT_FUNCTIONS["default"], which the installed transformers lacks', "plain rotary frequencies")
        given = getattr(config, "rope_parameters", None) or {}
        base = kwargs.get("base") or getattr(config, "rope_theta", None) or given.get("rope_theta", 10000.0)
        size = kwargs.get("dim")
        if size is None:
            head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
            size = int(head * getattr(config, "partial_rotary_factor", given.get("partial_rotary_factor", 1.0)))
        steps = torch.arange(0, size, 2, dtype=torch.int64).to(device=device, dtype=torch.float)
        return 1.0 / (base ** (steps / size)), 1.0

    return default


def _noting(value: object, what: str, note: Note) -> object:
    if not callable(value):
        return value

    def called(*args: object, **kwargs: object) -> Any:
        note(f"{what}, which the installed transformers lacks", "as 4.57 did it")
        return value(*args, **kwargs)

    return called


def _lend(stack: ExitStack, owner: object, name: str, value: object) -> None:
    """Give a class an attribute that it lacks, for as long as the stack lasts."""
    if not hasattr(owner, name):
        stack.enter_context(
            patched(
                owner, name, value,
                what="attributes and methods of transformers' PretrainedConfig, PreTrainedModel and caches",
                why="Code written for transformers 4 uses them.", versions="transformers 5",
            )
        )  # fmt: skip
