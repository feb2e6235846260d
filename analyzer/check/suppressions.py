"""Suppressions: findings that a project accepts for a reason, in pyproject.toml or at the source line."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign import parse_toml, read_small_text
from analyzer.ir.findings import Finding
from analyzer.ir.plan import LONGEST, names

PYTHON: Final = "python"
"""The key that names an interpreter: a working directory may say so, a model may not."""
_KEYS: Final = ("code", "module", "file", "reason")
_HINT: Final = 'as in suppress = [{ code = "DT201", module = "llm.*", reason = "why" }]'


@dataclass(frozen=True, slots=True)
class Suppression:
    """Findings of these codes, in modules and files of these names, are accepted for this reason.

    A comment names a line: then only findings from `first` to `last` of exactly that file are meant.
    """

    codes: tuple[str, ...]
    reason: str
    where: str
    """Where it is written: `pyproject.toml: suppress[0]`, `resampler.py:53`."""
    module: str = "*"
    file: str = "*"
    first: int = 0
    last: int = 0
    fault: str = ""
    """Why it suppresses nothing, whatever is found."""

    @property
    def in_comment(self) -> bool:
        """Whether it is written at the source line that it accepts."""
        return self.first > 0

    def covers(self, finding: Finding) -> bool:
        """Whether it accepts this finding."""
        if self.fault or finding.code not in self.codes:
            return False
        if self.first:
            return finding.file == self.file and self.first <= finding.line <= self.last
        return (self.module == "*" or names(self.module, finding.module)) and fnmatchcase(finding.file, self.file)


def configured(folders: Collection[Path], rules: Mapping[str, str]) -> tuple[Suppression, ...]:
    """What the first `pyproject.toml` with a [tool.analyzer] says, upwards from each folder in turn.

    `rules` has the code of each rule by its name. Raises AnalyzerError for a file or table that cannot be read.
    """
    for folder in folders:
        for place in (folder, *folder.parents):
            file = place / "pyproject.toml"
            table = analyzer_table(file) if file.is_file() else None
            if table is not None:
                return tuple(_read(table, file, rules))
    return ()


def analyzer_table(file: Path) -> object:
    """What a pyproject.toml has as [tool.analyzer]; None where it has none. Raises AnalyzerError."""
    tool = parse_toml(read_small_text(file), file).get("tool")
    return tool.get("analyzer") if isinstance(tool, dict) else None


def _read(table: object, file: Path, rules: Mapping[str, str]) -> Iterator[Suppression]:
    if not isinstance(table, dict):
        raise AnalyzerError(f"{file}: tool.analyzer is no table", hint=_HINT)
    for key in table:
        if key not in ("suppress", PYTHON):
            raise AnalyzerError(f"{file}: unknown key '{key}' in [tool.analyzer]", hint=_HINT)
    rows = table.get("suppress", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AnalyzerError(f"{file}: tool.analyzer.suppress is no list of tables", hint=_HINT)
    for number, row in enumerate(rows):
        where = f"{file.name}: suppress[{number}]"
        for key, value in row.items():
            if key not in _KEYS:
                near = get_close_matches(key, _KEYS, 1)
                raise AnalyzerError(
                    f"{where} has an unknown key '{key}'", hint=f"did you mean '{near[0]}'?" if near else _HINT
                )
            if not isinstance(value, str) or (key != "reason" and len(value) > LONGEST):
                raise AnalyzerError(f"{where}: {key} is no text of at most {LONGEST} characters", hint=_HINT)
        if not row.get("code") or not row.get("reason", "").strip():
            raise AnalyzerError(f"{where} needs a code and a reason", hint=_HINT)
        yield Suppression(
            (known(row["code"], where, rules),), row["reason"].strip(), where, row.get("module", "*"),
            row.get("file", "*").replace("\\", "/"),
        )  # fmt: skip


def known(word: str, where: str, rules: Mapping[str, str]) -> str:
    """The code that a rule's code or name stands for; raises AnalyzerError if it stands for none.

    >>> known("mixed-product", "here", {"mixed-product": "DT101"})
    'DT101'
    """
    if word.upper() in rules.values():
        return word.upper()
    if word in rules:
        return rules[word]
    near = get_close_matches(word, [*rules, *rules.values()], 1)
    raise AnalyzerError(
        f"{where}: no rule '{word}'", hint=f"did you mean '{near[0]}'?" if near else "analyze explain lists the rules"
    )
