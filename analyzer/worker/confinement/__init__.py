"""What a worker may read, write and call: applied to the running process before it imports anything large."""

from __future__ import annotations

from analyzer.worker.confinement.apply_rules import confine
from analyzer.worker.confinement.environment_variables import scrubbed
from analyzer.worker.confinement.interpreter_files import interpreter_paths, is_too_wide
from analyzer.worker.confinement.model_files import model_paths, source_paths
from analyzer.worker.confinement.rules import Confined, Rules

__all__ = [
    "Confined",
    "Rules",
    "confine",
    "interpreter_paths",
    "is_too_wide",
    "model_paths",
    "scrubbed",
    "source_paths",
]
