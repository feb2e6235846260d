"""Packages that a run wants beside those of its interpreter (`--with`): installed once, kept, and first on its path.

The interpreter keeps its torch: what is installed is what is asked for and what that needs otherwise than it is there.
Only wheels are taken, so that nothing of a package runs before the worker that imports it is confined.
"""

from __future__ import annotations

from analyzer.worker.extra_packages.cache import packages_folder
from analyzer.worker.extra_packages.requirements import parse_requirement

__all__ = ["packages_folder", "parse_requirement"]
