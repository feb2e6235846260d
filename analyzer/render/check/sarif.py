"""A check as SARIF 2.1.0, for code scanning: rules with their pages, results with fingerprints and fixes."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final
from urllib.parse import quote

from analyzer.check import Check, Judged
from analyzer.check.judgement import KNOWN, NEW, SUPPRESSED, Spot
from analyzer.escaping import as_json, as_sarif
from analyzer.ir.fixes.proposals import Edit
from analyzer.render.check.words import early, headline, message, pages, remarks
from analyzer.report.json_value import Json

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
FINGERPRINT: Final = "analyzerKey/v1"
ROOT: Final = "SRCROOT"
_BASELINE: Final = {NEW: "new", KNOWN: "unchanged"}
_LEVELS: Final = {"1": "error", "2": "warning", "3": "warning", "4": "warning", "5": "warning"}
"""Theme of a rule's code -> the level that its results mostly have."""


def render(check: Check) -> bytes:
    """One run; suppressed findings are results that say so."""
    codes = list(pages())
    run = {
        "tool": {
            "driver": {
                "name": "analyze",
                "version": check.report.versions.get("analyzer", ""),
                "rules": [_rule(code) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository, else the working folder."}}},
        "invocations": [
            {
                "executionSuccessful": check.report.complete,
                "toolExecutionNotifications": [
                    *_stopped(check),
                    *({"level": "warning", "message": {"text": as_sarif(text)}} for text in remarks(check)),
                ],
            }
        ],
        "properties": {
            "summary": headline(check),
            "complete": check.report.complete,
            "plans": [one.plan.line() for one in check.report.stages],
        },
        "results": [_result(check, one, codes) for one in check.judged],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return (as_json(log) + "\n").encode()


def _stopped(check: Check) -> Iterator[dict[str, Json]]:
    """The notification on a run that stopped early."""
    if check.stop is not None:
        yield {
            "level": "warning" if check.allow_incomplete else "error",
            "message": {"text": as_sarif(early(check))},
            "locations": [{"physicalLocation": _physical(check.stop, {})}],
        }


def _rule(code: str) -> dict[str, Json]:
    name, page = pages()[code]
    first = " ".join(page.split("\n\n")[0].split())
    fenced = "\n\n".join(f"```\n{part}\n```" if part.startswith("    ") else part for part in page.split("\n\n"))
    return {
        "id": code,
        "name": name,
        "shortDescription": {"text": first},
        "fullDescription": {"text": first},
        "help": {"text": page, "markdown": f"# {code} {name}\n\n{fenced}\n"},
        "defaultConfiguration": {"level": _LEVELS.get(code[2:3], "warning")},
        "properties": {"tags": ["dtype", "pytorch"], "precision": "very-high"},
    }


def _result(check: Check, one: Judged, codes: list[str]) -> dict[str, Json]:
    finding = one.finding
    fixes: list[Json] = [
        {"what": fix.what, "proved": fix.proved, "bytes": fix.bytes, "real": fix.real.kind} for fix in finding.fixes
    ]
    result: dict[str, Json] = {
        "ruleId": finding.code,
        **({"ruleIndex": codes.index(finding.code)} if finding.code in codes else {}),
        "level": finding.severity,
        "message": {"text": as_sarif(message(one))},
        "locations": [_location(one)],
        "relatedLocations": list(_related(check, one)),
        "partialFingerprints": {FINGERPRINT: one.key},
        "properties": {"count": finding.count, "stages": list(one.stages), "fixes": fixes},
    }
    if one.state in _BASELINE:
        result["baselineState"] = _BASELINE[one.state]
    if one.state == SUPPRESSED:
        kind = "inSource" if one.in_comment else "external"
        result["suppressions"] = [{"kind": kind, "justification": one.reason}]
    if one.edit is not None:
        result["fixes"] = [_fix(check, one.edit)]
    return result


def _location(one: Judged) -> dict[str, Json]:
    snippet: dict[str, Json] = {"snippet": {"text": one.finding.source}} if one.spot.own and one.finding.source else {}
    module = one.finding.module or "the model"
    logical: list[Json] = [{"fullyQualifiedName": module, "kind": "member"}]
    return {"physicalLocation": _physical(one.spot, snippet), "logicalLocations": logical}


def _physical(spot: Spot, more: dict[str, Json]) -> Json:
    return {"artifactLocation": _artifact(spot.path), "region": {"startLine": spot.line, **more}}


def _related(check: Check, one: Judged) -> Iterator[dict[str, Json]]:
    """The lines of the model folder that the dtypes come from."""
    seen = dict.fromkeys(origin for operand in one.finding.operands for origin in operand.origins)
    for number, origin in enumerate(o for o in seen if o.file in check.own_files and o.line > 0):
        where: Json = {"artifactLocation": _artifact(_inside(check, origin.file)), "region": {"startLine": origin.line}}
        text = f"{origin.dtype} from {origin.kind} {origin.name}"
        yield {"id": number, "physicalLocation": where, "message": {"text": as_sarif(text)}}


def _fix(check: Check, edit: Edit) -> dict[str, Json]:
    change: Json = {
        "artifactLocation": _artifact(_inside(check, edit.file)),
        "replacements": [
            {"deletedRegion": region, "insertedContent": {"text": text}} for region, text in _replacements(edit)
        ],
    }
    return {"description": {"text": f"cast at {edit.file}:{edit.line}, proved"}, "artifactChanges": [change]}


def _replacements(edit: Edit) -> Iterator[tuple[dict[str, int], str]]:
    """Each run of changed lines, without its last end of line, and the text that takes its place."""
    before, after = edit.before.splitlines(keepends=True), edit.after.splitlines(keepends=True)
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "replace":
            last = before[b - 1].rstrip("\r\n")
            region = {"startLine": a + 1, "startColumn": 1, "endLine": b, "endColumn": len(last) + 1}
            yield region, "".join(after[c:d]).rstrip("\r\n")


def _inside(check: Check, file: str) -> str:
    return str(PurePosixPath(check.folder) / file)


def _artifact(path: str) -> dict[str, str]:
    if path.startswith("/") or PureWindowsPath(path).is_absolute():  # on Windows, on another drive
        return {"uri": f"file:///{quote(path.removeprefix('/'), safe='/:')}"}
    return {"uri": quote(path), "uriBaseId": ROOT}
