"""What `PretrainedConfig` had, took and left alone in older transformers, for configs of a model's own code."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, Final

from analyzer.loaders.versions.old_names.defaults import OF_CLASSES
from analyzer.loaders.versions.old_names.lending import Attribute, Lender, settable

DEFAULTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id", "decoder_start_token_id")),
    **dict.fromkeys(("cross_attention_hidden_size", "finetuning_task", "task_specific_params", "prefix")),
    **dict.fromkeys(("is_decoder", "add_cross_attention", "tie_encoder_decoder", "torchscript", "use_bfloat16"), False),
    "tie_word_embeddings": True,
    "output_scores": False,
    "pruned_heads": {},
    "tf_legacy_loss": False,
    "tokenizer_class": None,
    "is_composition": False,
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
"""Defaults of `PretrainedConfig` in transformers 4.57."""
_ROPE: Final = ("rope_theta", "partial_rotary_factor")
"""What stood on a config, and stands in its `rope_parameters` now."""
_GIVEN: Final = "_rope_scaling_given"
"""Attribute of a config: what it was given as `rope_scaling`."""
_AUTOSET: Final = "_attn_implementation_autoset"
TAKEN: Final = ("per_layer_config", "per_layer_attributes", "is_heterogeneous")
"""Properties that older releases had not, so that own configs may have keys of these names."""
_SAID: Final = "which the installed transformers"


def lend(lender: Lender) -> None:
    """Give configs what they had in 4.57 and before."""
    import transformers

    config: Any = getattr(transformers, "PretrainedConfig")  # noqa: B009 (a lazy module: mypy knows no such name)
    for name, value in DEFAULTS.items():
        lender.lend(config, name, Attribute(name, _copied(value), lender, f"config.{name}"))
    for name in OF_CLASSES:
        lender.lend(config, name, Attribute(name, _of_class(name), lender, f"config.{name}"))
    for name in _ROPE:
        lender.lend(config, name, Attribute(name, _of_rope(name), lender, f"config.{name}"))
    lender.lend(config, _AUTOSET, Attribute(_AUTOSET, _is_set, lender, f"config.{_AUTOSET}"))
    if isinstance(inspect.getattr_static(config, "rope_scaling", None), property):
        lender.put(config, "rope_scaling", _rope_scaling(config.rope_scaling, lender))
    for name in TAKEN:
        if isinstance(found := inspect.getattr_static(config, name, None), property):
            lender.put(config, name, settable(found, name, lender))
    if not hasattr(config, "__getattr__"):
        lender.put(config, "__getattr__", _for_models(lender))
    if hasattr(config, "standardize_rope_params"):
        lender.put(config, "standardize_rope_params", _standardize(config.standardize_rope_params, lender))
    if hasattr(config, "__post_init__"):
        lender.put(config, "__post_init__", _post_init(config.__post_init__, lender))
        lender.put(config, "__init_subclass__", _made(config.__init_subclass__.__func__, lender))
    if hasattr(config, "validate"):
        lender.put(config, "validate", _validate(config.validate, lender))


def _copied(value: Any) -> Callable[[Any], Any]:
    return lambda instance: _on_class(instance, copy.copy(value))


def _on_class(instance: Any, value: Any) -> Any:
    if instance is None:
        raise AttributeError("an attribute of instances")
    return value


def _of_class(name: str) -> Callable[[Any], Any]:
    """The default, for configs of the classes that had it, or of classes that derive from one."""
    value, classes = OF_CLASSES[name]

    def get(instance: Any) -> Any:
        if not any(cls.__name__ in classes for cls in type(instance).__mro__):
            raise AttributeError(f"'{type(instance).__name__}' object has no attribute '{name}'")
        return value

    return get


def _of_rope(name: str) -> Callable[[Any], Any]:
    def get(instance: Any) -> Any:
        held = getattr(instance, "rope_parameters", None)
        if not isinstance(held, dict) or name not in held:
            raise AttributeError(f"'{type(instance).__name__}' object has no attribute '{name}'")
        return held[name]

    return get


def _is_set(instance: Any) -> bool:
    """Whether a model has chosen its attention by this config."""
    return _on_class(instance, instance)._attn_implementation is not None


def _rope_scaling(now: Any, lender: Lender) -> object:
    """`rope_scaling` as it was given, for own code; for the library, what is installed makes of it."""

    def get(self: Any) -> object:
        if not lender.is_asked():
            return now.fget(self)
        given = self.__dict__.get(_GIVEN)
        lender.note(f"config.rope_scaling, {_SAID} rewrites as rope_parameters", f"{given}, as it was given")
        return given

    def put(self: Any, value: Any) -> None:
        self.__dict__[_GIVEN] = copy.deepcopy(value)
        now.fset(self, value)

    return property(get, put)


def _post_init(original: Any, lender: Lender) -> object:
    """Keeps what the installed release takes out of a config's keys: how to generate, and rope's."""

    def __post_init__(self: Any, **kwargs: Any) -> None:
        given = copy.deepcopy({name: kwargs[name] for name in kwargs if name in DEFAULTS or name in _ROPE})
        if "rope_scaling" in kwargs:
            self.__dict__[_GIVEN] = copy.deepcopy(kwargs["rope_scaling"])
        original(self, **kwargs)
        if not lender.owns(type(self)):
            return
        for name, value in given.items():
            if name not in self.__dict__ and isinstance(inspect.getattr_static(type(self), name, None), Attribute):
                lender.note(f"config.{name}, {_SAID} drops", f"{value}, as config.json gives it")
                self.__dict__[name] = value

    return __post_init__


def _for_models(lender: Lender) -> object:
    """What a model of the library reads of an own config, and no older config had: as its own config makes it."""

    def __getattr__(self: Any, name: str) -> Any:
        missing = AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        module = lender.reading_model() if not name.startswith("_") else None
        if module is None or not lender.owns(type(self)):
            raise missing
        made = _same_config(self, module)
        if made is None or not hasattr(made, name):
            raise missing
        what = f"{type(self).__name__}.{name}, {_SAID} reads of it"
        lender.note(what, f"as {type(made).__name__} makes it of the other keys")
        return getattr(made, name)

    return __getattr__


def _same_config(config: Any, module: Any) -> Any:
    """The library's config for the models of a module, of the keys of an own one; None if there is none."""
    import transformers

    base: Any = getattr(transformers, "PretrainedConfig")  # noqa: B009 (a lazy module: mypy knows no such name)
    kinds = [
        one for one in vars(module).values() if isinstance(one, type) and issubclass(one, base) and one is not base
    ]
    if not kinds:
        return None
    keys = copy.deepcopy({name: value for name, value in vars(config).items() if not name.startswith("_")})
    keys["rope_scaling"] = copy.deepcopy(config.__dict__.get(_GIVEN))
    keys.pop("rope_parameters", None)
    return kinds[0](**keys)


def _standardize(original: Any, lender: Lender) -> object:
    """Rewriting rope's keys asks for others, which own classes may set only afterwards."""

    def standardize_rope_params(self: Any) -> None:
        try:
            original(self)
        except AttributeError as error:
            if not lender.owns(type(self)):
                raise
            lender.note(f"rope_parameters of {type(self).__name__}, {_SAID} rewrites", f"left as they are: {error}")

    return standardize_rope_params


def _made(original: Any, lender: Lender) -> object:
    """What a dataclass makes of an own class is undone: annotated lists stay, and the constructor of an own base."""

    def __init_subclass__(cls: Any, *args: Any, **kwargs: Any) -> None:
        has_own = "__init__" in vars(cls)
        notes = cls.__annotations__ if lender.owns(cls) else {}
        kept = {name: notes.pop(name) for name in list(notes) if isinstance(vars(cls).get(name), (list, dict, set))}
        try:
            original(cls, *args, **kwargs)
        finally:
            notes.update(kept)
        giving: Any = next((one for one in cls.__mro__[1:] if "__init__" in vars(one)), None)
        if not has_own and lender.owns(cls) and lender.owns(giving):
            cls.__init__ = giving.__init__

    return classmethod(__init_subclass__)


def _validate(original: Any, lender: Lender) -> object:
    """Checks of values that a config of own code may have its own meaning for are not made: none were in 4.57."""

    def validate(self: Any) -> None:
        try:
            original(self)
        except Exception as error:
            if not lender.owns(type(self)):
                raise
            said = f"left out: {error}".splitlines()[0]
            lender.note(f"a check of {type(self).__name__}'s values, {_SAID} makes", said)

    vars(validate)["__is_defined_by_strict_decorator__"] = True  # else huggingface_hub.dataclasses wants another name
    return validate
