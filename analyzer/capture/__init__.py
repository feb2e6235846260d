"""From a module to a graph of everything it computes; the only room that knows torch's dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from analyzer.capture.tensor import Layout
from analyzer.errors import AnalyzerError, Interrupted
from analyzer.ir.findings import Assumption, Coverage
from analyzer.ir.graph import ModelGraph, Place, Ref
from analyzer.ir.inventory import EMPTY, Inventory
from analyzer.ir.reason import Reason
from analyzer.ir.steps import Step


class Explains(Protocol):
    """Says what to do about an error, if the model's code and a library have drifted apart; "" if not."""

    def __call__(self, error: BaseException, *, sure: bool) -> str:
        """Of what shows in the error; not `sure`: also of what was only raised inside of a library."""


@dataclass(frozen=True, slots=True)
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
    reasons: dict[str, Reason] = field(default_factory=dict)
    """Full name of a stored tensor -> why it has its dtype."""
    places: dict[str, Place] = field(default_factory=dict)
    """Full name of a stored tensor -> the constructor line that made it."""
    root: str = ""
    """The model's folder; source files inside it are shown relative to it."""
    assumptions: tuple[Assumption, ...] = ()
    spare: tuple[str, ...] = ()
    """Names of inputs that were made up for a loss: a model that stops is run again without them."""
    steps: tuple[Step, ...] = ()
    """The forward passes of the trace; empty is one, without a name."""
    invented: str = ""
    """The dtype in which float inputs were made up; "" if a person gave the inputs."""
    processed: Mapping[str, Any] = field(default_factory=dict)
    """What the folder's own processor gives, in its own dtypes; empty where none was asked."""
    text_only: bool = False
    """Whether a person wants a text and nothing beside it."""
    inventory: Inventory = EMPTY
    """What the module holds, in the dtypes that loading gives them."""
    explains: Explains | None = field(default=None, compare=False)
    """What to do about an error of drift; None where nothing is known of where the model comes from."""
    lacks: Callable[[BaseException], str] | None = field(default=None, compare=False)
    """What to do about an error over a package without which the code went on; "" for any other."""
    parts: tuple[str, ...] = ()
    """Names of the children that are models of their own, such as the parts of a pipeline."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where and why the model's own code ended a run early."""

    error: Exception | Interrupted
    place: Place
    """The innermost source line outside torch."""
    module: str
    """Path of the module that was running."""
    words: str
    """All of that in one line, without what to do."""
    hint: str

    @property
    def interrupted(self) -> bool:
        """Whether it was a deadline or a person that ended it."""
        return isinstance(self.error, Interrupted)

    @property
    def cause(self) -> Exception:
        """The model's own error. Raises Interrupted where there is none."""
        if isinstance(self.error, Interrupted):
            raise self.error
        return self.error

    def as_error(self) -> AnalyzerError:
        """The stop as an error of the tool, for whoever cannot do with a part."""
        error = AnalyzerError(self.words, hint=self.hint)
        error.__cause__ = self.error
        return error


@dataclass(frozen=True, slots=True)
class Captured:
    """What a capture gives: the graph as far as it got, and how much of the model it covers."""

    graph: ModelGraph
    coverage: Coverage
    stop: Stop | None = None
    """What ended the run early; the graph's last node then marks the place."""
    layouts: Mapping[Ref, Layout] = field(default_factory=dict, compare=False)
    """How each tensor of the graph lies in memory: no part of a report."""

    def whole(self) -> Captured:
        """Itself if the run came to its end; else raises AnalyzerError with the model's error."""
        if self.stop:
            raise self.stop.as_error()
        return self

    def uninterrupted(self) -> Captured:
        """Itself; raises Interrupted where a deadline or a person ended the run, so that nothing more is tried."""
        if self.stop and isinstance(self.stop.error, Interrupted):
            raise self.stop.error
        return self

    def some(self) -> Captured:
        """Itself if anything ran at all; else raises AnalyzerError with the model's error."""
        return self if self.coverage.ops else self.whole()
