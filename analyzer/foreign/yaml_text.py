"""Reads YAML that somebody else wrote: without aliases, which can make much of little."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.data import check_data

LARGEST: Final = 1 << 20
"""Characters: PyYAML reads 100 KB a second."""


def parse_yaml(text: str, file: Path) -> object:
    """What YAML text holds, plain. Raises AnalyzerError, with the line where it is broken."""
    import yaml  # type: ignore[import-untyped]

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                event = self.peek_event()
                raise yaml.composer.ComposerError(None, None, "an alias (*name) is not read", event.start_mark)
            return super().compose_node(parent, index)

    if len(text) > LARGEST:
        raise AnalyzerError(f"{file} is too large to be read", hint=f"YAML of no more than {LARGEST >> 10} KiB")
    try:
        found: object = yaml.load(text, Loader)
    except RecursionError as error:
        raise AnalyzerError(f"{file} cannot be read: it is nested too deeply", hint="correct it") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error)
        raise AnalyzerError(f"{file}{line}: broken YAML: {problem}", hint="correct that line") from error
    except (ValueError, TypeError, AttributeError, OverflowError, KeyError, IndexError) as error:  # of a tag's value
        raise AnalyzerError(f"{file} cannot be read: {error}", hint="correct it") from error
    check_data(found, file)
    return found
