"""What caches of keys and values had in older transformers: tuples of tensors, and names of their parts."""

from __future__ import annotations

import functools
from collections.abc import Callable, MutableSequence
from typing import Any, Final

import torch

from analyzer.ir.findings import Note
from analyzer.loaders.stubs.inert import StandInUsed
from analyzer.loaders.versions.old_names.lending import Lender


class Parts(MutableSequence[Any]):
    """Keys or values of all layers as the list that they were: what is put into it goes to the layers."""

    def __init__(self, cache: Any, part: str) -> None:
        self._layers, self._part = cache.layers, part

    def _held(self) -> list[Any]:
        return [one for one in self._layers if getattr(one, self._part, None) is not None]

    def __len__(self) -> int:
        return len(self._held())

    def __getitem__(self, index: Any) -> Any:
        return [getattr(one, self._part) for one in self._held()][index]

    def __setitem__(self, index: Any, value: Any) -> None:
        vars(self._held()[index])[self._part] = value

    def __delitem__(self, index: Any) -> None:
        vars(self._held()[index])[self._part] = None

    def insert(self, index: int, value: Any) -> None:
        """Put a tensor behind the others, in a layer that lacks it or a new one; nowhere else."""
        if index != len(self):
            raise StandInUsed(
                f"a cache's {self._part} put before others: the installed transformers has no list of them"
            )
        from transformers.cache_utils import DynamicLayer

        new: Any = DynamicLayer
        layer: Any = next((one for one in self._layers if getattr(one, self._part, None) is None), None)
        if layer is None:
            layer = new()
            self._layers.append(layer)
        if isinstance(value, torch.Tensor):
            layer.dtype, layer.device, layer.is_initialized = value.dtype, value.device, True
        vars(layer)[self._part] = value


class Settable:
    """An attribute worked out from a cache, until own code sets it on one."""

    def __init__(self, name: str, value: Callable[[Any], Any]) -> None:
        self._name, self._value = name, value

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else self._value(instance)


def _layer(self: object, index: int) -> tuple[object, object]:
    """Keys and values of one layer, where the cache holds any."""
    layers = getattr(self, "layers", ())
    return (layers[index].keys, layers[index].values) if index < len(layers) else (None, None)


def _get_usable_length(self: Any, new_seq_length: int, layer_idx: int = 0) -> int:
    largest, held = _get_max_cache_shape(self), int(self.get_seq_length(layer_idx))
    return held if largest is None or held + new_seq_length <= largest else largest - new_seq_length


def _to_legacy_cache(self: Any) -> tuple[object, ...]:
    return tuple(_layer(self, i) for i in range(len(self.layers)))


def _get_max_cache_shape(self: Any, layer_idx: int = 0) -> int | None:
    found = getattr(self, "max_cache_len", None)
    return None if found is None or int(found) < 0 else int(found)


_CACHE: Final[dict[str, object]] = {
    "get_usable_length": _get_usable_length,
    "to_legacy_cache": _to_legacy_cache,
    "get_max_cache_shape": _get_max_cache_shape,
    "get_max_length": _get_max_cache_shape,
    "seen_tokens": Settable("seen_tokens", lambda self: self.get_seq_length()),
    "_seen_tokens": Settable("_seen_tokens", lambda self: self.get_seq_length()),
    "key_cache": Settable("key_cache", lambda self: Parts(self, "keys")),
    "value_cache": Settable("value_cache", lambda self: Parts(self, "values")),
    "__getitem__": _layer,
    "__len__": lambda self: len(self.layers),
    "__iter__": lambda self: iter(_to_legacy_cache(self)),
}


def _to_legacy_pairs(self: Any) -> tuple[object, ...]:
    own, cross = self.self_attention_cache.to_legacy_cache(), self.cross_attention_cache.to_legacy_cache()
    return tuple(a + b for a, b in zip(own, cross, strict=False)) if cross else own


MEMBERS: Final[dict[str, dict[str, object]]] = {
    "EncoderDecoderCache": {"to_legacy_cache": _to_legacy_pairs},
    "Cache": _CACHE,
}
"""Class -> what it had in 4.57, the narrower class first."""


def _fill(cache: Any, index: int, tensors: tuple[Any, ...]) -> None:
    cache.update(*tensors[:2], index)


def _fill_pair(cache: Any, index: int, tensors: tuple[Any, ...]) -> None:
    cache.self_attention_cache.update(*tensors[:2], index)
    if len(tensors) > 2:
        cache.cross_attention_cache.update(*tensors[2:], index)
        cache.is_updated[index] = True


def _pair(cls: Any) -> object:
    from transformers import DynamicCache

    return cls(DynamicCache(), DynamicCache())


FROM_LEGACY: Final[dict[str, tuple[object, object]]] = {
    "DynamicCache": (lambda cls: cls(), _fill),
    "EncoderDecoderCache": (_pair, _fill_pair),
}
"""Class -> how an empty one is made, and how the tensors of one layer are put into it."""


def from_legacy(name: str, how: tuple[Any, Any], note: Note) -> object:
    """The class method that made a cache of a tuple of each layer's tensors."""
    make, fill = how

    def from_legacy_cache(kind: Any, past_key_values: Any = None, *_: Any, **__: Any) -> object:
        note(f"{name}.from_legacy_cache, which the installed transformers lacks", "a cache updated layer by layer")
        made = make(kind)
        for index, tensors in enumerate(past_key_values or ()):
            fill(made, index, tensors)
        return made

    return classmethod(from_legacy_cache)


def changed(cache_utils: Any, lender: Lender) -> None:
    """Give caches what they still have, but in another way: lengths, cropping, a base without layers."""
    base = cache_utils.Cache
    lender.put(base, "__init__", _made(base.__init__, lender))
    lender.put(base, "crop", _crop(base.crop, lender))
    if "get_max_length" in vars(base):
        lender.put(base, "get_max_length", _max_length(base.get_max_length, lender))


def _made(original: Any, lender: Lender) -> object:
    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_seen_tokens" in getattr(getattr(type(self).update, "__code__", None), "co_names", ()):
            self._seen_tokens = 0  # it counts for itself
        if args or kwargs or not lender.owns(type(self)):
            original(self, *args, **kwargs)
            return
        lender.note("a Cache made without layers, which the installed transformers refuses", "an empty one")
        original(self, layers=[])

    return __init__


def _crop(original: Any, lender: Lender) -> object:
    """A length that is to stay, where the installed release takes how many tokens go."""

    @functools.wraps(original)
    def crop(self: Any, max_length: int) -> None:
        if max_length <= 0 or not lender.is_asked():
            original(self, max_length)
            return
        lender.note("Cache.crop(length), which the installed transformers takes as how many go", "that length stays")
        original(self, min(0, max_length - self.get_seq_length()))

    return crop


def _max_length(original: Any, lender: Lender) -> object:
    """None where there is no limit, which the installed release calls -1."""

    @functools.wraps(original)
    def get_max_length(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        if not lender.is_asked() or not isinstance(found, int) or found >= 0:
            return found
        lender.note("Cache.get_max_length, which the installed transformers answers with -1", "None, as before")
        return None

    return get_max_length
