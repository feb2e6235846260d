"""The baseline: the findings that a project knows and lives with, in a file that people review."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from json import loads
from pathlib import Path
from typing import Final

from analyzer.check.keys import Identity
from analyzer.errors import AnalyzerError
from analyzer.escaping import as_json
from analyzer.foreign import check_containers, read_small_text
from analyzer.ir.findings import Finding

VERSION: Final = 1


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One known finding: only `key` is compared, the rest is for people."""

    code: str
    module: str
    call: str
    origins: tuple[str, ...]
    source: str
    """The text of the source line."""
    severity: str
    message: str
    key: str

    @classmethod
    def of(cls, finding: Finding, identity: Identity) -> Entry:
        """The entry that makes a finding known."""
        return cls(
            identity.code, identity.module, identity.call, identity.origins, finding.source, finding.severity,
            finding.message, identity.key,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Baseline:
    """The entries of one file."""

    entries: tuple[Entry, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all entries."""
        return frozenset(entry.key for entry in self.entries)

    @classmethod
    def read(cls, file: Path) -> Baseline:
        """The baseline in a file; raises AnalyzerError, in one line, for whatever is not one."""
        hint = "mend it, or remove it and write it anew with --update-baseline"
        try:
            text = read_small_text(file)
            check_containers(text, file)
            data = loads(text)
        except AnalyzerError as error:
            raise AnalyzerError(f"the baseline {error.message}", hint=hint) from error
        except (ValueError, RecursionError) as error:
            raise AnalyzerError(f"the baseline {file} cannot be read: {error}", hint=hint) from error
        if not isinstance(data, dict) or not isinstance(data.get("findings"), list):
            raise AnalyzerError(f"{file} is no baseline: it has no list of findings", hint=hint)
        if data.get("version") != VERSION:
            raise AnalyzerError(
                f"the baseline {file} is of version {data.get('version')!r}, not {VERSION}",
                hint="it was written by another version of analyze",
            )
        return cls(
            tuple(sorted(_entry(item, f"{file}: findings[{i}]", hint) for i, item in enumerate(data["findings"])))
        )

    def dump(self) -> bytes:
        """The file: sorted, one finding an object, the same bytes for the same findings."""
        found = [asdict(entry) for entry in sorted(set(self.entries))]
        return (as_json({"version": VERSION, "findings": found}, 2, readable=True) + "\n").encode()


def union(entries: Iterable[Entry]) -> Baseline:
    """The entries, one for each key: the first of them."""
    by_key: dict[str, Entry] = {}
    for entry in entries:
        by_key.setdefault(entry.key, entry)
    return Baseline(tuple(sorted(by_key.values())))


def _entry(item: object, where: str, hint: str) -> Entry:
    if not isinstance(item, dict) or not isinstance(item.get("key"), str) or not item["key"]:
        raise AnalyzerError(f"{where} has no key", hint=hint)
    texts = {name: str(item.get(name, "")) for name in ("code", "module", "call", "source", "severity", "message")}
    origins = item.get("origins", [])
    if not isinstance(origins, list):
        raise AnalyzerError(f"{where}.origins is no list", hint=hint)
    return Entry(**texts, origins=tuple(map(str, origins)), key=item["key"])
