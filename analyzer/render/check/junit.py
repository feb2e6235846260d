"""A check as JUnit XML: one test case a finding, and one for each rule that found nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from analyzer.check import Check
from analyzer.check.judgement import NEW
from analyzer.printable import logged, shown
from analyzer.render.check.words import early, message, pages, remarks, title


def render(check: Check) -> bytes:
    """Failing findings are failures, known and suppressed ones are skipped, the rest passes.

    A run that stopped early is an error, and a rule that found nothing up to there is skipped.
    """
    failing = check.failing
    held = [one for one in check.judged if one.state != NEW]
    quiet = [code for code in pages() if code not in {one.finding.code for one in check.judged}]
    stop = check.stop
    errors = int(stop is not None and not check.allow_incomplete)
    undecided = len(quiet) + 1 - errors if stop is not None else 0
    counts = {
        "tests": len(check.judged) + len(quiet) + int(stop is not None),
        "failures": len(failing),
        "errors": errors,
        "skipped": len(held) + undecided,
    }
    totals = {key: str(value) for key, value in counts.items()}
    suites = ET.Element("testsuites", {"name": "analyze", **totals})
    suite = ET.SubElement(suites, "testsuite", {"name": _clean(check.folder or "model"), **totals})
    for one in check.judged:
        name = f"{title(one)} in {one.finding.module or 'the model'} {one.key}"
        about = {"file": one.spot.path, "line": str(one.spot.line)}
        case = _case(suite, one.finding.code, name, about)
        if one in failing:
            kind = {"type": one.finding.severity, "message": _clean(one.finding.message)}
            ET.SubElement(case, "failure", kind).text = _clean(message(one))
        elif one in held:
            ET.SubElement(case, "skipped", {"message": _clean(one.reason or one.state)})
        else:
            ET.SubElement(case, "system-out").text = _clean(message(one))
    if stop is not None:
        case = _case(suite, "run", "the run comes to its end", {"file": stop.path, "line": str(stop.line)})
        ET.SubElement(case, "error" if errors else "skipped", {"message": _clean(early(check))})
    for code in quiet:
        case = _case(suite, code, f"{code} {pages()[code][0]}", {})
        if stop is not None:
            ET.SubElement(case, "skipped", {"message": "nothing found so far: the run stopped early"})
    if said := remarks(check):
        ET.SubElement(suite, "system-err").text = _clean("\n".join(said))
    ET.indent(suites)
    text: str = ET.tostring(suites, encoding="unicode")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n".encode()


def _case(suite: ET.Element, code: str, name: str, about: dict[str, str]) -> ET.Element:
    values = {"classname": f"analyze.{code}", "name": name, "time": "0", **about}
    return ET.SubElement(suite, "testcase", {key: _clean(value) for key, value in values.items()})


def _clean(text: str) -> str:
    """Text that XML 1.0 can hold: other characters are shown by number."""
    return logged(shown(text, "\n\t"))
