"""Changes something of another library for a while, and puts back what was there: the one way in which we do it.

`docs/patches.md` lists every call; it is made from the sources by `docs/patches.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, MutableSequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

Item = TypeVar("Item")
GONE: Final = object()
"""As a value: the name is not there while the patch lasts."""


@contextmanager
def patched(
    owner: object, name: object, value: object, *, why: str, what: str = "", versions: str = "all"
) -> Iterator[None]:
    """While this lasts, an attribute of `owner`, or an entry if it is a dict such as `sys.modules`, is `value`.

    Afterwards the owner is as it was, also after an error: an attribute that it had inherited, or lacked, is deleted
    again. `why`, `what` (where the sources do not say by themselves what is changed) and `versions` (releases that
    need it) are for the page.

    >>> import math
    >>> with patched(math, "pi", 3, why="an example"):
    ...     math.pi
    3
    """
    entries = owner if isinstance(owner, MutableMapping) else None
    own = entries if entries is not None else getattr(owner, "__dict__", {})
    before = own.get(name, GONE)
    _set(owner, entries, name, value)
    try:
        yield
    finally:
        _set(owner, entries, name, before)


@contextmanager
def prepended(
    items: MutableSequence[Item], item: Item, *, what: str, why: str, versions: str = "all"
) -> Iterator[None]:
    """While this lasts, `item` stands first in a list of Python's, such as `sys.path`; then its first place is free."""
    items.insert(0, item)
    try:
        yield
    finally:
        with suppress(ValueError):  # somebody else has removed it
            items.remove(item)


@contextmanager
def appended(items: MutableSequence[Item], item: Item, *, what: str, why: str, versions: str = "all") -> Iterator[None]:
    """While this lasts, `item` stands last in a list of Python's, or before what others append meanwhile."""
    items.append(item)
    try:
        yield
    finally:
        with suppress(ValueError):  # somebody else has removed it
            items.remove(item)


def reset(owner: object, name: object, value: object, *, why: str, what: str = "", versions: str = "all") -> None:
    """Set for good what a library remembers of a time that is over: a cache, a flag, a module."""
    _set(owner, owner if isinstance(owner, MutableMapping) else None, name, value)


def _set(owner: object, entries: MutableMapping[object, object] | None, name: Any, value: object) -> None:
    if entries is not None:
        if value is GONE:
            entries.pop(name, None)
        else:
            entries[name] = value
    elif value is not GONE:
        setattr(owner, name, value)
    else:
        with suppress(AttributeError):  # what was put there may be gone by now
            delattr(owner, name)
