"""Walks values that are nested in tuples, lists and dicts: yields their ends, or rebuilds them with some ends changed.

What is opened, everywhere: a `list`, a `tuple` and a `dict`, their subclasses included (`torch.Size`, named tuples,
transformers' `ModelOutput`); of a dict only the values. All else is an end: a tensor, a number, None, a set, a
dataclass, a cache. Order is depth first, as the containers have it. Nothing here looks for cycles.

The walkers that run at every operation of a capture, and a few that ask something else of a container, stay where
they are used; tests/ir/test_walk.py lists them with the reason of each.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

End = TypeVar("End")
Path = tuple[str | int, ...]
"""Where an end lies: the keys of dicts as words, the positions in lists and tuples as numbers."""


def leaves(value: object, kind: type[End]) -> Iterator[End]:
    """Every end of a class, in order.

    >>> list(leaves(({"a": 1, "b": [2, "x"]}, 3), int))
    [1, 2, 3]
    """
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from leaves(part, kind)
    elif isinstance(value, dict):
        for part in value.values():
            yield from leaves(part, kind)
    elif isinstance(value, kind):
        yield value


def changed(
    value: object, kind: type[End], function: Callable[[End], object], *,
    into: type[list[object]] | type[tuple[object, ...]] | None = None, exact: bool = False, mappings: bool = False,
) -> Any:  # fmt: skip
    """The value with `function` of every end of a class in its place; every container is made anew.

    A list or tuple stays one of its class, a named tuple too, or becomes `into`. With `exact`, subclasses of list
    and tuple are ends. A dict becomes a plain one in its order; with `mappings`, every mapping is opened and keeps
    its class, which has to take a dict.

    >>> changed(({"a": 1, "b": [2, "x"]}, 3), int, float)
    ({'a': 1.0, 'b': [2.0, 'x']}, 3.0)
    >>> changed([(1, 2), None], object, str, into=tuple)
    (('1', '2'), 'None')
    """
    return changed_with_path(value, kind, lambda end, _: function(end), into=into, exact=exact, mappings=mappings)


def changed_with_path(
    value: object, kind: type[End], function: Callable[[End, Path], object], *,
    into: type[list[object]] | type[tuple[object, ...]] | None = None, exact: bool = False, mappings: bool = False,
) -> Any:  # fmt: skip
    """As `changed`; the function is told where each end lies as well.

    >>> changed_with_path({"a": 1, "b": [2, 3]}, int, lambda _, path: path)
    {'a': ('a',), 'b': [('b', 0), ('b', 1)]}
    """

    def rebuilt(part: object, path: Path) -> object:
        if isinstance(part, Mapping if mappings else dict):
            items = {key: rebuilt(item, (*path, str(key))) for key, item in part.items()}
            return type(part)(items) if mappings else items  # type: ignore[call-arg]
        if isinstance(part, (list, tuple)) and (not exact or type(part) in (list, tuple)):
            return _sequence(into or type(part), [rebuilt(item, (*path, n)) for n, item in enumerate(part)])
        return function(part, path) if isinstance(part, kind) else part

    return rebuilt(value, ())


def key(value: object, function: Callable[[object], Hashable]) -> Hashable:
    """Something to look a value up by: every container with its class, and `function` of every end.

    >>> key([1, (2.5, {"a": "x"})], type) == key([3, (4.5, {"a": "y"})], type)
    True
    >>> key([1], type) == key((1,), type)
    False
    """
    if isinstance(value, (list, tuple)):
        return type(value), tuple([key(item, function) for item in value])
    if isinstance(value, dict):
        return dict, tuple([(name, key(item, function)) for name, item in value.items()])
    return function(value)


def _sequence(kind: Callable[..., object], items: list[object]) -> object:
    return kind(*items) if hasattr(kind, "_fields") else kind(items)
