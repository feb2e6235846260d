"""Reads a recipe file into plain data: JSON, YAML or a pickle, told apart by its bytes."""

from __future__ import annotations

from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.foreign import parse_json, parse_yaml, read_small
from analyzer.plans.pickled import read_pickled

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
    values = parse_json(text, file, "correct that line") if text.lstrip().startswith("{") else parse_yaml(text, file)
    if not isinstance(values, dict) or not values:
        raise AnalyzerError(f"{file} holds no keys", hint=_KINDS)
    return {str(key): value for key, value in values.items()}
