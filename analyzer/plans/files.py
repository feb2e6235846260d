"""Reads a recipe file into plain data: JSON, YAML or a pickle, told apart by its bytes."""

from __future__ import annotations

import json
from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.plans.pickled import read_pickled
from analyzer.small_files import read_small

_KINDS = "a recipe is JSON, YAML or a training_args.bin"


def read_file(file: Path) -> dict[str, object]:
    """The file's keys and values. Raises AnalyzerError, with the line where a text is broken."""
    if not file.is_file():
        raise AnalyzerError(f"no such recipe file: {file}", hint=_KINDS)
    data = read_small(file)
    if data[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return read_pickled(file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AnalyzerError(f"{file} is neither text nor a pickle", hint=_KINDS) from error
    values = parse_json(text, file) if text.lstrip().startswith("{") else _yaml(text, file)
    if not isinstance(values, dict) or not values:
        raise AnalyzerError(f"{file} holds no keys", hint=_KINDS)
    return {str(key): value for key, value in values.items()}


def parse_json(text: str, file: Path) -> object:
    """What JSON text holds. Raises AnalyzerError with the line where it is broken."""
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise AnalyzerError(f"{file}:{error.lineno}: broken JSON: {error.msg}", hint="correct that line") from error
    except (ValueError, RecursionError) as error:
        raise AnalyzerError(f"{file} cannot be read: {error}", hint="is it nested too deeply?") from error
    return found


def _yaml(text: str, file: Path) -> object:
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(text)
    except (ValueError, RecursionError) as error:
        raise AnalyzerError(f"{file} cannot be read: {error}", hint="is it nested too deeply?") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise AnalyzerError(f"{file}{line}: broken YAML: {problem}", hint="correct that line") from error
