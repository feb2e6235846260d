"""Leaves a module as it was before a run: what code keeps on it between calls belongs to that run alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from torch import nn

_MUTABLE: Final = (list, dict, OrderedDict, set)


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """While this lasts, attributes of the module and its parts may change; afterwards they are the old ones.

    Lists, dicts and sets that are attributes get their old members back. O(attributes).
    """
    before = [(part, dict(vars(part))) for part in module.modules()]
    held = [value for _, facts in before for value in facts.values() if type(value) in _MUTABLE]
    members = [(value, value.copy()) for value in held if value]
    empty = [value for value in held if not value]  # the hooks of most modules: copies of them all take 100 MB
    try:
        yield
    finally:
        for part, facts in before:
            part.__dict__.clear()
            part.__dict__.update(facts)
        for value in empty:
            value.clear()
        for value, old in members:
            _refill(value, old)


def _refill(value: Any, old: Any) -> None:
    value.clear()
    (value.extend if type(value) is list else value.update)(old)
