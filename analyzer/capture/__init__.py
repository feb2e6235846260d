"""From a module to a graph of everything it computes; the only room that knows torch's dispatcher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from analyzer.findings import Assumption, Coverage
from analyzer.graph import ModelGraph, Place
from analyzer.inventory import EMPTY, Inventory


@dataclass(frozen=True)
class Loaded:
    """A module without weights, ready to be traced, and where each stored dtype comes from.

    All parameters and buffers are on the meta device (small constants made in constructors may be real CPU
    tensors), in the dtypes that loading would give them.
    """

    module: nn.Module
    name: str
    path: str
    inputs: dict[str, Any]
    run: Callable[[nn.Module, dict[str, Any]], Any] | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    """Full name of a stored tensor -> why it has its dtype."""
    places: dict[str, Place] = field(default_factory=dict)
    """Full name of a stored tensor -> the constructor line that made it."""
    root: str = ""
    """The model's folder; source files inside it are shown relative to it."""
    assumptions: tuple[Assumption, ...] = ()
    spare: tuple[str, ...] = ()
    """Names of inputs that were made up for a loss: a model that stops is run again without them."""
    inventory: Inventory = EMPTY
    """What the module holds, in the dtypes that loading gives them."""


@dataclass(frozen=True)
class Captured:
    """What a capture gives: the graph, and how much of the model it covers."""

    graph: ModelGraph
    coverage: Coverage
