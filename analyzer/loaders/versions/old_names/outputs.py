"""Outputs that remote code declares with names of a cache that transformers 5 renames `cache` as they are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from analyzer.capture.patching import patched
from analyzer.ir.findings import Note

_OLD: Final = frozenset({"past_key_values", "cache_params"})
_RENAMING: Final = "transformers 5"


@contextmanager
def as_declared(note: Note) -> Iterator[None]:
    """While this lasts, a class of outputs with such a field, and none called `cache`, is made as it is declared.

    The installed release would stop it: `__init__() got an unexpected keyword argument 'cache'`.
    """
    from transformers.utils.generic import ModelOutput

    outputs: object = ModelOutput
    if not hasattr(outputs, "_replace_old_cache_name"):
        yield
        return
    kind: Any = type(outputs)
    making, naming = kind.__setattr__, outputs._replace_old_cache_name

    def __setattr__(cls: Any, name: str, value: object) -> None:
        declared = sorted(_OLD.intersection(getattr(cls, "__dataclass_fields__", {})))
        if name == "__init__" and declared:
            note(f"{cls.__name__}({declared[0]}=), which the installed transformers renames", "taken as declared")
            type.__setattr__(cls, name, value)
        else:
            making(cls, name, value)

    def own_name(self: Any, name: str) -> object:
        return name if name in _OLD and name in self.__dataclass_fields__ else naming(self, name)

    why = "Remote code declares outputs with `past_key_values` or `cache_params`, which transformers 5 renames `cache`."
    with (
        patched(
            kind, "__setattr__", __setattr__, what="__setattr__ of the metaclass of transformers' ModelOutput", why=why,
            versions=_RENAMING,
        ),
        patched(
            outputs, "_replace_old_cache_name", own_name,
            what="transformers.utils.generic.ModelOutput._replace_old_cache_name", why=why, versions=_RENAMING,
        ),
    ):  # fmt: skip
        yield
