"""A row of a registry of formats: its renderer is imported when it is called, so that a registry costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Generic, TypeVar

Subject = TypeVar("Subject")
"""What is rendered: a report, a check, a difference."""


@dataclass(frozen=True, slots=True)
class Format(Generic[Subject]):
    """A format: calling it turns what is rendered, of the one kind that its registry is for, into bytes."""

    renderer: str
    """The pure function that does it, as `package.module:function`."""
    carries_edits: bool = False
    """Whether it shows changes of the source, which are looked for and proved only for such formats."""

    def __call__(self, subject: Subject) -> bytes:
        """The bytes; raises AnalyzerError where a layout fails."""
        return self.load()(subject)

    def load(self) -> Callable[[Subject], bytes]:
        """The function itself."""
        module, _, name = self.renderer.partition(":")
        found: Callable[[Subject], bytes] = getattr(import_module(module), name)
        return found
