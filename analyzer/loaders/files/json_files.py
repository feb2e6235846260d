"""Reads the JSON files of a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyzer.errors import AnalyzerError
from analyzer.foreign import parse_json, read_small


def read_json(file: Path) -> object:
    """What the file holds. Raises AnalyzerError, with the line where the JSON is broken."""
    return parse_json(read_small(file), file)


def read_settings(file: Path) -> dict[str, Any]:
    """The object in the file. Raises AnalyzerError, with the line where the JSON is broken."""
    settings = read_json(file)
    if not isinstance(settings, dict):
        raise AnalyzerError(f"{file} holds no JSON object", hint="download or save the file again")
    return settings
