"""What every format of a check says: the title, the message of a finding, the page of its rule."""

from __future__ import annotations

from functools import cache
from inspect import cleandoc

from analyzer import rules
from analyzer.check import Check, Judged
from analyzer.check.judgement import KNOWN, NEW, SUPPRESSED
from analyzer.render.words import NO_FIX, PARTIAL, spoken, story


@cache
def pages() -> dict[str, tuple[str, str]]:
    """Code of each rule -> its name and its page, in the order of codes."""
    return {code: (name, cleandoc(module.__doc__ or "")) for code, name, module in rules.rules()}


def headline(check: Check) -> str:
    """The check in one line: `1 new error, 1 new warning, 2 known, 1 suppressed`.

    After a run that stopped early: `partial verdict: nothing new so far`.
    """
    new = [one.finding.severity for one in check.judged if one.state == NEW]
    parts = [f"{new.count(s)} new {s}{'s' * (new.count(s) != 1)}" for s in ("error", "warning") if s in new]
    parts = parts or ["nothing new"]
    parts += [f"{check.counts.get(state, 0)} {state}" for state in (KNOWN, SUPPRESSED) if check.counts.get(state)]
    return f"{PARTIAL}: {', '.join(parts)} so far" if check.incomplete else ", ".join(parts)


def title(one: Judged) -> str:
    """A finding's code and name: `DT101 mixed-product`."""
    return f"{one.finding.code} {one.finding.name}"


def message(one: Judged) -> str:
    """A finding in lines; the first one is the kernel's or the rule's own words."""
    words = spoken(one.finding)
    lines = [words, *(line for line in story(one.finding) if line not in (words, one.edit and NO_FIX))]
    if one.edit is not None:
        lines.append(f"fix: cast at {one.edit.file}:{one.edit.line} in the source (proved)")
    if one.stages:
        lines.append(f"in {', '.join(one.stages)}")
    return "\n".join(lines)


def early(check: Check) -> str:
    """That a run stopped early, and why; "" if none did."""
    return f"incomplete: {check.incomplete}" if check.incomplete else ""


def remarks(check: Check) -> list[str]:
    """What else a reader of the check must know beside its findings and `early`."""
    gone = "not found so far" if check.incomplete else "no longer found"
    said = [f"{gone}: {entry.key} {entry.module} {entry.message}".rstrip() for entry in check.gone]
    for one in check.unused:
        said.append(f"suppression at {one.where} is not valid: {one.fault}" if one.fault else unused(one.where))
        said[-1] += "" if one in check.surely_unused else " so far"
    return said


def unused(where: str) -> str:
    """The remark on a suppression that nothing was found for."""
    return f"suppression at {where} suppresses nothing"
