"""Cuts a model into the units that FSDP shards, each with the parameters it flattens or groups, from names alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.ir.graph import above
from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.plan import Wrap

_NORMS: Final = frozenset({"BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"})
"""What FSDP1 wraps alone, in float32, where it wraps by itself under mixed precision."""
_LISTS: Final = frozenset({"ModuleList", "ModuleDict"})
"""What FSDP1's size policy never wraps."""
_LEAVES: Final = frozenset({"MultiheadAttention"})
"""What FSDP1's size policy does not look into."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Modules that are sharded together; the root is ("",)."""

    modules: tuple[str, ...]
    parameters: tuple[Held, ...]
    """In the order in which FSDP takes them; a tied one once, in the unit that takes it first."""
    narrow: bool = True
    """Whether the mixed precision of the wrap holds for it."""


def fsdp_units(inventory: Inventory, wrap: Wrap) -> tuple[Unit, ...]:
    """The units with parameters, in the order in which FSDP looks at them; modules are told by the name of their class.

    Raises AnalyzerError, in accelerate's words, for a layer class that the model does not have.
    """
    if wrap.policy == "transformer":
        _known_classes(inventory, wrap)
    tree = _Tree(inventory)
    groups = list(_nested(tree, inventory, wrap) if wrap.version == 1 else _grouped(tree, inventory, wrap))
    taken: set[str] = set()
    found = []
    for modules in groups:  # from the bottom up: what an inner unit took, an outer one does not have
        mine = [held for path in modules for held in tree.parameters(path) if held.name not in taken]
        taken |= {held.name for held in mine}
        narrow = not (wrap.version == 1 and tree.classes[modules[0]] in _NORMS and modules != ("",))
        found.append(Unit(modules, tuple(mine), narrow))
    if wrap.version == 2:  # checked when the root first runs, from the root down
        found.sort(key=lambda unit: min(tree.number[path] for path in unit.modules))
    return tuple(unit for unit in found if unit.parameters)


class _Tree:
    """The modules by path, and what each of them holds."""

    def __init__(self, inventory: Inventory) -> None:
        self.classes = inventory.classes or {"": ""}
        self.number = {path: number for number, path in enumerate(self.classes)}
        self.children: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.classes:
            if path:
                self.children[next(p for p in above(path.rpartition(".")[0]) if p in self.classes)].append(path)
        self._held: defaultdict[str, list[Held]] = defaultdict(list)
        for held in inventory.tensors:
            if held.kind == "parameter":
                for path in above(held.name.rpartition(".")[0]):
                    self._held[path].append(held)

    def parameters(self, path: str) -> list[Held]:
        """All parameters in a module, in the order of `named_parameters`."""
        return self._held[path]

    def elements(self, path: str) -> int:
        """How many elements these have."""
        return sum(prod(held.spec.shape) for held in self._held[path])

    def bottom_up(self, path: str = "") -> Iterator[str]:
        """Every module after those inside it, the root last."""
        for child in self.children[path]:
            yield from self.bottom_up(child)
        yield path


def _known_classes(inventory: Inventory, wrap: Wrap) -> None:
    there = set(inventory.classes.values())
    for name in wrap.classes or inventory.no_split:
        if name not in there:
            raise AnalyzerError(
                f"Could not find the transformer layer class {name} in the model.",
                hint="name classes of its layers in fsdp_transformer_layer_cls_to_wrap",
            )


def _nested(tree: _Tree, inventory: Inventory, wrap: Wrap) -> Iterator[tuple[str, ...]]:
    """As `_recursive_wrap` of torch/distributed/fsdp/wrap.py does it."""
    automatic = wrap.policy == "transformer" or (wrap.policy == "size" and wrap.min_params > 0)
    mixed = automatic and bool(wrap.param_dtype or wrap.reduce_dtype or wrap.buffer_dtype)
    names = frozenset(wrap.classes or inventory.no_split)
    found: list[str] = []

    def visit(path: str) -> int:
        name, size = tree.classes[path], tree.elements(path)
        large = size >= wrap.min_params and name not in _LEAVES
        if wrap.policy == "size" and not (large or mixed):
            return 0
        inside = sum([visit(child) for child in tree.children[path]])
        if path and (wanted(path, size - inside) or (mixed and name in _NORMS)):
            found.append(path)
            return size
        return inside

    def wanted(path: str, rest: int) -> bool:
        if wrap.policy == "size":
            return rest >= wrap.min_params and tree.classes[path] not in _LISTS
        return tree.classes[path] in names

    if automatic:
        visit("")
    yield from ((path,) for path in found)
    yield ("",)


def _grouped(tree: _Tree, inventory: Inventory, wrap: Wrap) -> Iterator[tuple[str, ...]]:
    """As `fsdp2_prepare_model` of accelerate/utils/fsdp_utils.py does it: layers, embedding, last norm and head."""
    names = frozenset(wrap.classes or inventory.no_split)
    done: set[str] = set()
    for path in tree.bottom_up():
        by_class = wrap.policy == "transformer" and tree.classes[path] in names
        by_size = wrap.policy == "size" and tree.elements(path) > wrap.min_params
        if path and (by_class or by_size):
            done.add(path)
            yield (path,)
    for group in inventory.ends:
        left = tuple(path for path in group if path not in done)
        if left and "" not in left:
            done |= set(left)
            yield left
    yield ("",)
