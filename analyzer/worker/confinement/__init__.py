"""What a worker may read, write and call: applied to the running process before it imports anything large."""

from __future__ import annotations

from analyzer.worker.confinement.applying import confine
from analyzer.worker.confinement.environment import scrubbed
from analyzer.worker.confinement.interpreter import interpreter_paths
from analyzer.worker.confinement.model import model_paths
from analyzer.worker.confinement.rules import Confined, Rules

__all__ = ["Confined", "Rules", "confine", "interpreter_paths", "model_paths", "scrubbed"]
