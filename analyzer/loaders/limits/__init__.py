"""What a config may ask for: sizes, lists and patterns are looked at before any library builds something of them."""

from __future__ import annotations

from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.loaders.files.json_files import read_json
from analyzer.loaders.limits.patterns import check_patterns
from analyzer.loaders.limits.sizes import check_sizes

__all__ = ["check_file", "check_limits"]


def check_limits(file: Path | str, settings: object) -> None:
    """Raise AnalyzerError, which names the file, the key, its value and the limit, for settings that are not built."""
    try:
        check_sizes(file, settings)
        check_patterns(file, settings)
    except RecursionError as error:
        raise AnalyzerError(f"{file} is nested too deeply", hint="download or save the file again") from error


def check_file(file: Path) -> None:
    """The same of a file that a library reads by itself, where there is one."""
    if file.is_file():
        check_limits(file, read_json(file))
