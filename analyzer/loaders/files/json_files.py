"""Reads the JSON files of a model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analyzer.errors import AnalyzerError


def read_json(file: Path) -> object:
    """What the file holds. Raises AnalyzerError, with the line where the JSON is broken."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise AnalyzerError(
            f"{file}:{error.lineno}: broken JSON: {error.msg}", hint="download or save the file again"
        ) from error
    except PermissionError as error:
        hint = "a link may not lead out of the model folder" if file.is_symlink() else "is it yours to read?"
        raise AnalyzerError(f"cannot read {file}: {error.strerror}", hint=hint) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AnalyzerError(f"cannot read {file}: {error}", hint="is it a complete, readable file?") from error


def read_settings(file: Path) -> dict[str, Any]:
    """The object in the file. Raises AnalyzerError, with the line where the JSON is broken."""
    settings = read_json(file)
    if not isinstance(settings, dict):
        raise AnalyzerError(f"{file} holds no JSON object", hint="download or save the file again")
    return settings
