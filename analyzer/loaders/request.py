"""The model that a person asked for, as a request, and what every kind of loader makes of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from analyzer.capture import Loaded
from analyzer.ir.plan import Plan
from analyzer.ir.steps import Step
from analyzer.loaders.remote_code.origin import Origin

Progress: TypeAlias = Callable[[str], None]
"""Is told each step in a few words."""


def silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A model on disk, the plan that it is loaded under, and what a person allows and gives besides."""

    path: Path
    """A folder, or a file that is a model itself."""
    plan: Plan = field(default_factory=Plan)
    trust_remote_code: bool = False
    inputs_file: Path | None = None
    """The Python file that makes the inputs; None where they are made up."""
    stubs: tuple[str, ...] = ()
    """Names of packages that stand-ins replace."""
    steps: tuple[Step, ...] = ()
    """The forward passes of a trace; empty is one."""
    text_only: bool = False
    """Whether made-up inputs are a text and nothing beside it."""
    progress: Progress = silent
    origin: Origin = field(default_factory=Origin)
    """How the run was asked for, for words on what to type next."""


class Loader(Protocol):
    """The `load` of a module in `kinds`: builds a model without weights, in the dtypes that the real library gives it.

    `settings` is the JSON of the kind's marker. Raises AnalyzerError for whatever keeps the model from being built.
    """

    def __call__(self, request: ModelRequest, settings: object) -> Loaded:
        """The model, with inputs, and the reason of each stored dtype."""
        ...
