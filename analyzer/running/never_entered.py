"""Tells which modules a run never entered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import prod

from analyzer.ir.findings import Unentered
from analyzer.ir.graph import ModelGraph, above, in_any_layer
from analyzer.ir.inventory import Inventory


def never_entered(graph: ModelGraph, inventory: Inventory) -> tuple[Unentered, ...]:
    """The top-most modules with parameters in which no operation ran and of which no parameter was read.

    Layers that differ in their numbers alone are one entry. O(operations + tensors).
    """
    homes = {node.module for node in graph if node.is_op}
    homes |= {node.name.rpartition(".")[0] for node in graph.stored() if any(graph.readers(node.id))}
    entered = {path for home in homes for path in above(home)}
    sizes: defaultdict[str, int] = defaultdict(int)
    for held in inventory.tensors:
        home = held.name.rpartition(".")[0]
        if held.kind == "parameter" and home not in entered:
            top = [path for path in above(home) if path not in entered][-1]
            sizes[top] += prod(held.spec.shape)
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for path in sizes:
        alike[in_any_layer(path)].append(path)
    return tuple(
        Unentered(_together(paths), sum(map(sizes.__getitem__, paths)), len(paths)) for paths in alike.values()
    )


def not_reached(missed: Sequence[Unentered], module: str) -> str:
    """In a few words what a run that ended in `module` did not reach."""
    rest = f"the rest of {module or 'the model'}"
    named = [one.module for one in missed[:_NAMED]]
    more = [f"{len(missed) - _NAMED} more"] if len(missed) > _NAMED else []
    return ", ".join([rest, *named, *more])


_NAMED = 4
"""How many modules that were not reached are named."""


def _together(paths: Sequence[str]) -> str:
    """One name for modules that differ in their numbers: `layers.2-31`, or `*` where these are no range.

    >>> _together(["layers.2.mlp", "layers.3.mlp"]), _together(["a.0", "a.2"])
    ('layers.2-3.mlp', 'a.*')
    """
    columns = [list(dict.fromkeys(column)) for column in zip(*(path.split(".") for path in paths), strict=True)]
    whole = prod(len(column) for column in columns) == len(paths)
    return ".".join(_range(column, whole) for column in columns)


def _range(column: Sequence[str], whole: bool) -> str:
    if len(column) == 1:
        return column[0]
    numbers = sorted(map(int, column))
    return f"{numbers[0]}-{numbers[-1]}" if whole and numbers[-1] - numbers[0] + 1 == len(numbers) else "*"
