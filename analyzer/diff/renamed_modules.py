"""Finds modules that only have another path in the other report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final

from analyzer.ir.graph import above
from analyzer.ir.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Renaming:
    """Paths of modules before -> after, where they differ; what is inside of them is renamed with them."""

    pairs: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, path: str) -> str:
        """What a module or tensor before is called after.

        >>> Renaming({"vpm": "vision"})("vpm.blocks.0.weight")
        'vision.blocks.0.weight'
        """
        outer = next((module for module in above(path) if module in self.pairs), None)
        return path if outer is None else self.pairs[outer] + path[len(outer) :]


@dataclass(frozen=True, slots=True)
class _Form:
    """How a module is made: two of the same form differ in nothing but names outside of them, and dtypes."""

    name: str
    """Of its class."""
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]
    """Name, kind and shape of its own."""
    inside: tuple[tuple[str, int], ...]
    """Name of each module directly in it, and the number of its form."""

    @property
    def telling(self) -> bool:
        """Whether it is more than one of its class: a dropout is like any other, only its place tells them apart."""
        return bool(self.tensors or self.inside)


Alike = Callable[[str, str, _Form], Hashable]
"""Of a module's path, that of the module around it, and its form: what must be equal on both sides."""


def renaming(before: Inventory, after: Inventory) -> Renaming:
    """The modules that were renamed, whatever their dtypes. O(modules x depth) a round.

    Of those that only one side has, the ones of the same form go together: at the same place, else in the same layer
    under the same last name, else, for modules with others inside, in the same layer, or wherever they are; last those
    of one class at the same place that changed inside. Where one side has more of them than the other, they are not
    told apart and stay as they are.
    """
    numbers: dict[_Form, int] = {}
    old, new = _forms(before, numbers), _forms(after, numbers)
    made = {number: form for form, number in numbers.items()}
    known = Renaming()
    while old and new:
        there = {known(path) for path in old}
        gone = {path: made[number] for path, number in old.items() if known(path) not in new}
        fresh = {path: made[number] for path, number in new.items() if path not in there}
        rounds = (_paired(gone, fresh, known, alike) for alike in _ALIKE)
        pairs = next(filter(None, rounds), None)
        if pairs is None:
            break
        known = Renaming({**known.pairs, **pairs})
    return known


def _forms(inventory: Inventory, numbers: dict[_Form, int]) -> dict[str, int]:
    """The form of every module, by number; what is in a module stands after it in an inventory."""
    tensors: defaultdict[str, list[tuple[str, str, tuple[int, ...]]]] = defaultdict(list)
    for held in inventory.tensors:
        module, _, name = held.name.rpartition(".")
        tensors[module].append((name, held.kind, held.spec.shape))
    inside: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    found: dict[str, int] = {}
    for path, name in reversed(list(inventory.classes.items())):
        form = _Form(name, tuple(sorted(tensors[path])), tuple(sorted(inside[path])))
        found[path] = numbers.setdefault(form, len(numbers))
        parent, _, last = path.rpartition(".")
        if path:
            inside[parent].append((last, found[path]))
    return dict(reversed(found.items()))


def _paired(gone: Mapping[str, _Form], fresh: Mapping[str, _Form], known: Renaming, alike: Alike) -> dict[str, str]:
    """Pairs of those that are alike, in order, where both sides have as many of them."""
    groups: defaultdict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for path, form in gone.items():
        groups[alike(path, known(path.rpartition(".")[0]), form)][0].append(path)
    for path, form in fresh.items():
        groups[alike(path, path.rpartition(".")[0], form)][1].append(path)
    groups.pop(None, None)
    pairs = {a: b for old, new in groups.values() if len(old) == len(new) for a, b in zip(old, new, strict=True)}
    taken = set(pairs), set(pairs.values())  # what is in another one of them is renamed with it
    outer = (taken[0].isdisjoint([*above(a)][1:]) and taken[1].isdisjoint([*above(b)][1:]) for a, b in pairs.items())
    return {a: b for (a, b), wanted in zip(pairs.items(), outer, strict=True) if wanted}


def _layer(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split(".") if part.isdecimal())


def _there(path: str, parent: str, form: _Form) -> Hashable:
    return parent, form


def _same_name(path: str, parent: str, form: _Form) -> Hashable:
    return (_layer(path), path.rpartition(".")[2], form) if form.telling else None


def _same_layer(path: str, parent: str, form: _Form) -> Hashable:
    return (_layer(path), form) if form.inside else None


def _anywhere(path: str, parent: str, form: _Form) -> Hashable:
    return form if form.inside else None


def _changed(path: str, parent: str, form: _Form) -> Hashable:
    return (parent, form.name, tuple(name for name, _ in form.inside)) if form.inside else None


_ALIKE: Final = (_there, _same_name, _same_layer, _anywhere, _changed)
"""What two renamed modules have in common, the surest first; None where that says nothing."""
