"""What caches of keys and values had in older transformers: tuples of tensors, and names of their parts."""

from __future__ import annotations

from typing import Any, Final

from analyzer.ir.findings import Note


def _layer(self: object, index: int) -> tuple[object, object]:
    """Keys and values of one layer, where the cache holds any."""
    layers = getattr(self, "layers", ())
    return (layers[index].keys, layers[index].values) if index < len(layers) else (None, None)


def _get_usable_length(self: Any, new_seq_length: int, layer_idx: int = 0) -> int:
    return int(self.get_seq_length(layer_idx))


def _to_legacy_cache(self: Any) -> tuple[object, ...]:
    return tuple(_layer(self, i) for i in range(len(self.layers)))


def _get_max_cache_shape(self: object, layer_idx: int = 0) -> int | None:
    return None if not hasattr(self, "max_cache_len") else int(self.max_cache_len)


_CACHE: Final[dict[str, object]] = {
    "get_usable_length": _get_usable_length,
    "to_legacy_cache": _to_legacy_cache,
    "get_max_cache_shape": _get_max_cache_shape,
    "get_max_length": _get_max_cache_shape,
    "seen_tokens": property(lambda self: self.get_seq_length()),
    "_seen_tokens": property(lambda self: self.get_seq_length()),
    "key_cache": property(lambda self: [layer.keys for layer in self.layers]),
    "value_cache": property(lambda self: [layer.values for layer in self.layers]),
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
