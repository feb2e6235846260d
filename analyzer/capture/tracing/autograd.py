"""Tells for every operation which pass runs it, and for one of the backward pass which forward call it belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import torch
from torch._C._autograd import _get_sequence_nr as _next_number
from torch.overrides import TorchFunctionMode

from analyzer.capture.patching import patched
from analyzer.capture.source_lines import SourceLines
from analyzer.capture.tensor import Abstract
from analyzer.capture.tracing.site import Site
from analyzer.ir.graph import NOWHERE

BACKWARD: Final = "backward"
RECOMPUTE: Final = "recompute"


def in_backward() -> bool:
    """Whether a gradient is being computed; a recomputation, which needs a graph of its own, is none.

    A custom backward under `create_graph` has a graph as well and is taken for a recomputation.
    """
    return torch._C._current_autograd_node() is not None and not torch.is_grad_enabled()


class Passes:
    """Joins autograd's nodes to the calls that made them, by their sequence numbers.

    Autograd numbers its nodes in the order of their making, and makes the node of an operation just before it
    dispatches it (torch/csrc/autograd/function.h; AOTAutograd joins its graphs in the same way).
    """

    def __init__(self, places: SourceLines) -> None:
        self._places = places
        self._calls: dict[int, Site] = {}
        self._next = _next_number()
        self.ran = False
        """Whether anything ran backward."""
        self.step = ""

    def site(self, call: str) -> Site:
        """Module, call, place, phase and step of the operation that is being dispatched."""
        node = torch._C._current_autograd_node()
        if node is None:
            place, module = self._places.here()
            site = Site(module, call, place, "", self.step)
        else:
            site = self._of(node, call)
        self._number(site)
        return site

    def begin(self, step: str) -> None:
        """From here on the operations belong to this step."""
        self.step = step

    @contextmanager
    def engine(self, calls: TorchFunctionMode) -> Iterator[None]:
        """Keep `calls` on while autograd's engine runs: a custom backward and a recomputation are Python again.

        PyTorch takes function modes off before it runs a call, and `backward` is one; this is its way to the engine.
        """
        original = torch.autograd._engine_run_backward  # type: ignore[attr-defined]

        def run(*args: Any, **kwargs: Any) -> Any:
            with calls:
                return original(*args, **kwargs)

        self._places.stops.add(run.__code__)
        with patched(torch.autograd, "_engine_run_backward", run, why="Function modes are off while the engine runs."):
            yield

    def _of(self, node: Any, call: str) -> Site:
        self.ran = True
        owner = self._owner(node)
        place, module = self._places.here()
        if place == NOWHERE:  # the engine itself
            return replace(owner, phase=BACKWARD)
        return Site(module or owner.module, call, place, BACKWARD if in_backward() else RECOMPUTE, self.step)

    def _owner(self, node: Any) -> Site:
        """What is known of the forward call that made a node of autograd's."""
        variable = getattr(node, "variable", None)
        if variable is not None:  # AccumulateGrad, which no call made
            name = variable.ref.id if type(variable) is Abstract else ""
            return Site(name.rpartition(".")[0], step=self.step)
        number = node._sequence_nr()
        if node.name() == "CopySlices":  # made after its operation, when that wrote through a view
            number -= 1
        return self._calls.get(number, Site(step=self.step))

    def _number(self, site: Site) -> None:
        """Autograd's nodes that are new since the last operation belong to this one."""
        following = _next_number()
        for number in range(self._next, following):
            self._calls[number] = site
        self._next = following
