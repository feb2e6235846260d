"""Writes the inputs file that a person may begin with: what was made up, and something for what could not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from analyzer.inputs.facts import Facts
from analyzer.ir import walk

UNKNOWN: Final = "torch.ones(1, 16, dtype=torch.long)"
"""What stands for an argument of which nothing is known."""


_PICTURE: Final = "__import__('PIL.Image').Image.new('RGB', (224, 224))"


class _Code(str):
    """Python that stands in a container as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def template(facts: Facts, values: Mapping[str, Any]) -> str:
    """The lines of a file that `--inputs` takes, in quotes, with every argument that a call needs."""
    needed = {name: values.get(name) for name in facts.names if name in values or facts.is_required(name)}
    packed = {key for keys in facts.call.packed.values() for key in keys}
    given: dict[str, Any] = {
        name: {key: needed[key] for key in keys if key in needed} for name, keys in facts.call.packed.items()
    }
    given |= {name: value for name, value in needed.items() if name not in packed}
    return f'"import torch", then "def inputs(config): return {walk.changed(given, object, _written)!r}"'


def _written(value: object) -> _Code:
    """A value as Python: numbers of tensors are ones, or zeros where they are floats."""
    if isinstance(value, torch.Tensor):
        made = "zeros" if value.is_floating_point() else "ones"
        return _Code(f"torch.{made}({', '.join(map(str, value.shape))}, dtype={value.dtype})")
    if value is None or isinstance(value, (str, int, float)):
        return _Code(UNKNOWN if value is None else repr(value))
    return _Code("None" if not hasattr(value, "getpixel") else _PICTURE)
