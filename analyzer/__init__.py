"""Finds dtype mismatches in PyTorch models without weights; importing this costs nothing until a name is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from analyzer.api import trace
    from analyzer.ir.plan import Plan
    from analyzer.report import Report

__version__ = "0.1.0"
__all__ = ["Plan", "Report", "__version__", "trace"]

_HOMES: Final = {"trace": "analyzer.api", "Plan": "analyzer.ir.plan", "Report": "analyzer.report"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        found: object = getattr(import_module(_HOMES[name]), name)
        return found
    raise AttributeError(f"module 'analyzer' has no attribute {name!r}")
