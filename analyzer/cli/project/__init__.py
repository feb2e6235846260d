"""What the project says that the command stands in: which interpreter traces its models."""

from __future__ import annotations

from analyzer.cli.project.interpreters import Beside, beside, project_python

__all__ = ["Beside", "beside", "project_python"]
