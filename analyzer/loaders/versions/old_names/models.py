"""What `PreTrainedModel` had and did in older transformers: masks, tying of weights, the choice of attention."""

from __future__ import annotations

import inspect
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

import torch

from analyzer.loaders.versions.old_names import classes
from analyzer.loaders.versions.old_names.lending import Attribute, Lender, settable

FLAGS: Final = (
    "_supports_cache_class", "_supports_static_cache", "_supports_quantized_cache", "_supports_flash_attn_2",
)  # fmt: skip
"""What a class of models said of itself, False unless it said otherwise."""
_CHOICES: Final = ("_supports_sdpa", "_supports_flash_attn", "_supports_flex_attn")
TAKEN: Final = (
    "tp_size", "fsdp_size", "supports_context_parallel", "can_record_outputs", "is_activation_checkpointing",
    "is_distributed_loading_by_transformers", "supports_tp_plan", "supports_pp_plan",
)  # fmt: skip
"""Properties that the installed release has and older ones had not, so that own code may have them as attributes."""
_LACKS: Final = "which the installed transformers lacks"


def lend(lender: Lender) -> None:
    """Give `PreTrainedModel` what it had in 4.57 and before."""
    import transformers

    model: Any = transformers.PreTrainedModel
    for name, value in METHODS.items():
        lender.lend(model, name, _noting(value, name, lender))
    for name, plain in PLAIN.items():
        lender.lend(model, name, plain)
    for name in FLAGS:
        lender.lend(model, name, Attribute(name, lambda _: False, lender, f"PreTrainedModel.{name}"))
    for name, chosen in CLASS_METHODS.items():
        lender.lend(model, name, classmethod(_noting(chosen, name, lender)))
    for name in TAKEN:
        if isinstance(found := inspect.getattr_static(model, name, None), property):
            lender.put(model, name, settable(found, name, lender))
    lender.put(model, "_from_config", classmethod(_from_config(model._from_config.__func__, lender)))
    if hasattr(model, "get_expanded_tied_weights_keys"):
        lender.put(model, "get_expanded_tied_weights_keys", _expanded(model.get_expanded_tied_weights_keys, lender))
        lender.put(model, "tie_weights", _tie_weights(model.tie_weights, lender))
        lender.put(model, "__init_subclass__", _made(model.__init_subclass__.__func__, lender))
    if hasattr(model, "_check_and_adjust_attn_implementation"):
        adjusting = model._check_and_adjust_attn_implementation
        lender.put(model, "_check_and_adjust_attn_implementation", _as_of_class(adjusting, lender))


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


METHODS: Final[dict[str, Any]] = {
    "get_head_mask": _get_head_mask,
    "get_extended_attention_mask": _get_extended_attention_mask,
    "invert_attention_mask": _invert_attention_mask,
    "_tie_or_clone_weights": _tie_or_clone_weights,
}
PLAIN: Final[dict[str, object]] = {"warnings_issued": {}, "is_parallelizable": False, "framework": "pt"}


def _autoset(cls: Any, config: Any, use_flash_attention_2: bool = False, *_: object, **__: object) -> object:
    if use_flash_attention_2:
        return _check_flash(cls, config)
    return config if config._attn_implementation is not None else _check_sdpa(cls, config)


def _check_sdpa(cls: Any, config: Any, hard_check_only: bool = False) -> object:
    supported = bool(inspect.getattr_static(cls, "_supports_sdpa", False))
    if hard_check_only and not supported:
        raise ValueError(f"{cls.__name__} does not support scaled_dot_product_attention")
    if supported and not hard_check_only:
        config._attn_implementation = "sdpa"
    return config


def _check_flash(cls: Any, config: Any, *_: object, hard_check_only: bool = False, **__: object) -> object:
    if not any(inspect.getattr_static(cls, f"_supports_flash_attn{end}", False) for end in ("", "_2")):
        raise ValueError(f"{cls.__name__} does not support Flash Attention 2.0 yet")
    if not hard_check_only:
        config._attn_implementation = "flash_attention_2"
    return config


CLASS_METHODS: Final[dict[str, Any]] = {
    "_autoset_attn_implementation": _autoset,
    "_check_and_enable_sdpa": _check_sdpa,
    "_check_and_enable_flash_attn_2": _check_flash,
}


def _as_of_class(original: Any, lender: Lender) -> object:
    """The choice of attention by what a class says of itself: a property says yes, as it did before any was read."""

    def adjust(self: Any, *args: Any, **kwargs: Any) -> object:
        cls = type(self)
        for one in cls.__mro__:  # its layers are made after this
            classes.adapt(sys.modules.get(one.__module__), lender)
        _pass_on(self.config, lender)
        said = {name: inspect.getattr_static(cls, name) for name in _CHOICES if hasattr(type(self), name)}
        answers = {name: True for name, value in said.items() if isinstance(value, property)}
        old = inspect.getattr_static(cls, "_supports_flash_attn_2", None)
        wants_flash = "flash" in str(self.config._attn_implementation)
        if wants_flash and old and not isinstance(old, Attribute) and not said.get("_supports_flash_attn"):
            answers["_supports_flash_attn"] = True
        with ExitStack() as stack:
            for name, answer in answers.items():
                replace(lender, stack=stack).put(cls, name, answer)
                old_name = name if isinstance(said.get(name), property) else "_supports_flash_attn_2"
                lender.note(f"{cls.__name__}.{old_name}, which the installed transformers reads otherwise", "yes")
            return original(self, *args, **kwargs)

    return adjust


def _pass_on(config: Any, lender: Lender) -> None:
    """What a config of own code says of attention counts for its parts as well, as from 4.46 on."""
    chosen = config._attn_implementation if lender.owns(type(config)) else None
    for name in (getattr(config, "sub_configs", None) or {}) if isinstance(chosen, str) else ():
        part = getattr(config, name, None)
        if chosen and getattr(part, "_attn_implementation", chosen) is None:
            lender.note(f"{name}._attn_implementation, which the installed transformers leaves open", chosen)
            part._attn_implementation = chosen  # type: ignore[union-attr]


def _from_config(original: Any, lender: Lender) -> Any:
    """`from_config` with the switch that named flash attention before `attn_implementation` did."""

    def from_config(cls: Any, config: Any, **kwargs: Any) -> Any:
        if "use_flash_attention_2" in kwargs:
            lender.note("from_config(use_flash_attention_2=), which the installed transformers lacks", "as before")
            if kwargs.pop("use_flash_attention_2"):
                kwargs["attn_implementation"] = "flash_attention_2"
        return original(cls, config, **kwargs)

    return from_config


def _expanded(original: Any, lender: Lender) -> object:
    """Tied names as a list, as before 5: they say what is tied, and `get_output_embeddings` decides it."""

    def get_expanded_tied_weights_keys(self: Any, all_submodels: bool = False) -> object:
        keys = self._tied_weights_keys
        if all_submodels or keys is None or isinstance(keys, dict):
            return original(self, all_submodels)
        lender.note(
            "_tied_weights_keys as a list, which the installed transformers does not take",
            "get_output_embeddings says what is tied to the input embeddings, as in 4.57",
        )
        return {}

    return get_expanded_tied_weights_keys


def _tie_weights(original: Any, lender: Lender) -> object:
    """Tying as before 5 where names are none or a list: output embeddings get the weight of the input embeddings."""

    def tie_weights(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        is_built = sys._getframe(1).f_code.co_name != "__init__"  # a constructor may tie before it calls post_init
        if is_built and lender.owns(type(self)) and not hasattr(self, "all_tied_weights_keys"):
            lender.note(
                f"{type(self).__name__} never calls post_init, without which the installed from_pretrained raises",
                "loaded, as before 5",
            )
        giving = next((c for c in type(self).__mro__ if "get_output_embeddings" in vars(c)), None)
        is_listed = isinstance(self._tied_weights_keys, (list, tuple, set))
        is_given = giving is not None and lender.owns(giving)
        if not (is_given or (is_listed and _is_derived(self))) or isinstance(self._tied_weights_keys, dict):
            return
        if not getattr(self.config, "tie_word_embeddings", True):
            return
        output, source = self.get_output_embeddings(), self.get_input_embeddings()
        weight = getattr(source, "weight", None)
        if isinstance(getattr(output, "weight", None), torch.nn.Parameter) and output.weight is not weight is not None:
            lender.note("get_output_embeddings, by which the installed transformers ties nothing", "tied, as in 4.57")
            output.weight = weight

    return tie_weights


def _is_derived(model: object) -> bool:
    """Whether the class of a model derives from one of the library's models."""
    return any(cls.__module__.startswith("transformers.models.") for cls in type(model).__mro__)


def _made(original: Any, lender: Lender) -> object:
    """What a class of own code has lost in 5: generation by a mixin, `tie_weights` without arguments."""
    from transformers import GenerationMixin

    mixin: Any = GenerationMixin

    def __init_subclass__(cls: Any, /, **kwargs: Any) -> None:
        original(cls, **kwargs)
        if not lender.owns(cls):
            return
        if not issubclass(cls, mixin) and {"prepare_inputs_for_generation", "generate"} & set(vars(cls)):
            lender.note(
                f"{cls.__name__} can generate, which the installed PreTrainedModel cannot", "by GenerationMixin"
            )
            cls.__bases__ = (*cls.__bases__, mixin)
        tying = cls.__dict__.get("tie_weights")
        if inspect.isfunction(tying) and not _takes(tying, "recompute_mapping"):
            cls.tie_weights = _without_arguments(tying, cls.__name__, lender)

    return classmethod(__init_subclass__)


def _without_arguments(tying: Any, owner: str, lender: Lender) -> object:
    def tie_weights(self: Any, *_: object, **__: object) -> object:
        lender.note(f"{owner}.tie_weights without arguments, which the installed transformers gives it", "left out")
        return tying(self)

    return tie_weights


def _takes(function: Any, name: str) -> bool:
    found = inspect.signature(function).parameters
    return name in found or any(one.kind is one.VAR_KEYWORD for one in found.values())


def _noting(value: Any, what: str, lender: Lender) -> Any:
    def called(*args: Any, **kwargs: Any) -> Any:
        lender.note(f"PreTrainedModel.{what}, {_LACKS}", "as 4.57 did it")
        return value(*args, **kwargs)

    return called
