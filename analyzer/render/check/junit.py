"""A check as JUnit XML: one test case a finding, and one for each rule that found nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Final

from analyzer.check import Check, Judged
from analyzer.check.judgement import NEW, Spot
from analyzer.escaping import as_xml
from analyzer.render.check.words import early, message, pages, remarks, title

_COUNTED: Final = {
    "tests": "testcase",
    "failures": "testcase/failure",
    "errors": "testcase/error",
    "skipped": "testcase/skipped",
}
"""What a suite counts, and where it stands."""


def render(check: Check) -> bytes:
    """Failing findings are failures, known and suppressed ones are skipped, the rest passes.

    A run that stopped early is an error, and a rule that found nothing up to there is skipped.
    """
    suite = ET.Element("testsuite", {"name": as_xml(check.folder or "model")})
    for one in check.judged:
        _finding(suite, check, one)
    if check.stop is not None:
        case = _case(suite, "run", "the run comes to its end", _at(check.stop))
        ET.SubElement(case, "skipped" if check.allow_incomplete else "error", {"message": as_xml(early(check))})
    found = {one.finding.code for one in check.judged}
    for code in (code for code in pages() if code not in found):
        _quiet(suite, code, early(check))
    if said := remarks(check):
        ET.SubElement(suite, "system-err").text = as_xml("\n".join(said))
    totals = {name: str(len(suite.findall(path))) for name, path in _COUNTED.items()}
    suite.attrib |= totals
    suites = ET.Element("testsuites", {"name": "analyze", **totals})
    suites.append(suite)
    ET.indent(suites)
    text: str = ET.tostring(suites, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n".encode()


def _finding(suite: ET.Element, check: Check, one: Judged) -> None:
    name = f"{title(one)} in {one.finding.module or 'the model'} {one.key}"
    case = _case(suite, one.finding.code, name, _at(one.spot))
    if one in check.failing:
        kind = {"type": one.finding.severity, "message": as_xml(one.finding.message)}
        ET.SubElement(case, "failure", kind).text = as_xml(message(one))
    elif one.state != NEW:
        ET.SubElement(case, "skipped", {"message": as_xml(one.reason or one.state)})
    else:
        ET.SubElement(case, "system-out").text = as_xml(message(one))


def _quiet(suite: ET.Element, code: str, early: str) -> None:
    """The case of a rule that found nothing."""
    case = _case(suite, code, f"{code} {pages()[code][0]}", {})
    if early:
        ET.SubElement(case, "skipped", {"message": "nothing found so far: the run stopped early"})


def _at(spot: Spot) -> dict[str, str]:
    return {"file": spot.path, "line": str(spot.line)}


def _case(suite: ET.Element, code: str, name: str, about: dict[str, str]) -> ET.Element:
    values = {"classname": f"analyze.{code}", "name": name, "time": "0", **about}
    return ET.SubElement(suite, "testcase", {key: as_xml(value) for key, value in values.items()})
