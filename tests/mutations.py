"""Changes saved data at random places: what a damaged or hostile file may hold."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any, Final

ODD: Final[tuple[Any, ...]] = (
    None, True, -1, 0, 1 << 70, 0.5, "", "x", "inf", "error", "\ud800", [], {}, [[]], [1, "2"],
    {"node": "x", "output": 0},
)  # fmt: skip


def mutated(data: Any, random: Random) -> Any:
    """A copy with one to three places changed: a value replaced, left out, doubled, or put in another's place."""
    data = deepcopy(data)
    for _ in range(random.randint(1, 3)):
        places = list(_places(data))
        if places:
            _change(*random.choice(places), random.choice(places), random)
    return data


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in it."""
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from _places(data[key])


def _change(holder: Any, key: Any, other: tuple[Any, Any], random: Random) -> None:
    kind = random.choice(("odd", "odd", "gone", "other", "twice"))
    if kind == "gone":
        del holder[key]
    elif kind == "twice" and isinstance(holder, list):
        holder.append(holder[key])
    elif kind == "other":
        holder[key] = deepcopy(other[0][other[1]])
    else:
        holder[key] = random.choice(ODD)
