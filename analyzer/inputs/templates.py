"""Writes the inputs file that a person may begin with: what was made up, and something for what could not be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from analyzer.inputs.facts import Facts

UNKNOWN = "torch.ones(1, 16, dtype=torch.long)"
"""What stands for an argument of which nothing is known."""


def template(facts: Facts, values: Mapping[str, Any]) -> str:
    """The lines of a file that `--inputs` takes, in quotes, with every argument that a call needs."""
    needed = {name: values.get(name) for name in facts.names if name in values or facts.is_required(name)}
    packed = {key for keys in facts.call.packed.values() for key in keys}
    given: dict[str, str] = {
        name: _dict({key: _written(needed[key]) for key in keys if key in needed})
        for name, keys in facts.call.packed.items()
    }
    given |= {name: _written(value) for name, value in needed.items() if name not in packed}
    return f'"import torch", then "def inputs(config): return {_dict(given)}"'


def _dict(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"'{name}': {value}" for name, value in entries.items()) + "}"


def _written(value: Any) -> str:
    """A value as Python: numbers of tensors are ones, or zeros where they are floats."""
    if isinstance(value, torch.Tensor):
        made = "zeros" if value.is_floating_point() else "ones"
        return f"torch.{made}({', '.join(map(str, value.shape))}, dtype={value.dtype})"
    if isinstance(value, dict):
        return _dict({str(key): _written(one) for key, one in value.items()})
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_written, value))}]"
    return UNKNOWN if value is None else repr(value)
