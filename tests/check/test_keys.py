"""Keys and suppressions on graphs in text form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.check import Baseline, Entry, Suppression, identities, judge
from analyzer.check.baseline import union
from analyzer.check.comments import in_text
from analyzer.cli.explain import rule_names
from analyzer.diff.comparison import compare
from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Finding
from analyzer.ir.plan import Plan
from tests.render.models import many_layers, report, seed

RULES = rule_names()
FINDING = Finding("DT101", "mixed-product", "error", "m", "", "", "a.layers.3.b", "m.py", 5, ())


def _keys(*findings: Finding) -> list[str]:
    flow, _ = seed()
    return [identity.key for _, identity in identities(report(flow, findings))]


def test_the_same_finding_twice_has_two_keys_and_the_order_of_a_report() -> None:
    _, (finding, _) = seed()
    first, second = _keys(finding, replace(finding, line=900))
    assert first != second and [first] == _keys(replace(finding, line=1, nodes=("h",)))


def test_layers_lines_and_comments_are_no_part_of_a_key() -> None:
    one = replace(FINDING, source="y = x @ w")
    alike = [replace(one, module="a.layers.7.b"), replace(one, line=9), replace(one, source="y  = x @ w  # why")]
    assert len({key for other in (one, *alike) for key in _keys(other)}) == 1
    differ = [
        replace(one, module="a.b"),
        replace(one, code="DT201"),
        replace(one, source="y = w @ x"),
        replace(one, call="mm"),
    ]
    assert len({key for other in (one, *differ) for key in _keys(other)}) == 5


def test_only_the_odd_operand_counts() -> None:
    _, (finding, _) = seed()
    even = replace(finding.operands[1], origins=finding.operands[0].origins)
    assert _keys(replace(finding, operands=(finding.operands[0], even))) == _keys(finding)
    odd = replace(finding.operands[0], origins=(replace(finding.operands[0].origins[0], name="other"),))
    assert _keys(replace(finding, operands=(odd, finding.operands[1]))) != _keys(finding)


def test_a_baseline_is_sorted_and_the_same_bytes(tmp_path: Path) -> None:
    flow, found = many_layers(3, faulty=True)
    one = [Entry.of(f, i) for f, i in identities(report(flow, (*found, replace(found[0], code="DT100"))))]
    assert union(one).dump() == union(reversed(one)).dump() == Baseline(tuple(reversed(one))).dump()
    (tmp_path / "b.json").write_bytes(union(one).dump())
    assert Baseline.read(tmp_path / "b.json") == union(one)


def test_after_a_run_that_stopped_the_baseline_keeps_what_it_had(tmp_path: Path) -> None:
    flow, found = many_layers(1, faulty=True)
    old = union(Entry.of(f, i) for f, i in identities(report(flow, found)))
    quiet = report(flow, ())
    early = replace(quiet, coverage=replace(quiet.coverage, incomplete="stopped"))
    assert judge(early, tmp_path, tmp_path, baseline=old).baseline(old) == old
    assert judge(quiet, tmp_path, tmp_path, baseline=old).baseline(old) == Baseline()
    assert judge(quiet, tmp_path, tmp_path, baseline=old).gone == old.entries


@pytest.mark.parametrize(
    ("line", "covered", "fault"),
    [
        ("x = f(a,\n      b)  # analyzer: ignore[DT101] why", True, ""),
        ("x = f(a,\n      b)  # analyzer: ignore[mixed-product, DT201]: why", True, ""),
        ("x = f(a,\n      b)\n# analyzer: ignore[DT101] why", False, ""),
        ("x = f(a,\n      b)  # analyzer: ignore[DT101]", False, "no reason"),
        ("x = f(a,\n      b)  # analyzer: ignore why", False, "no code"),
        ("x = f(a,\n      b)  # analyzer: ignore[DT999] why", False, "no rule"),
        ("x = f(a,\n      '# analyzer: ignore[DT101] why')", False, None),
        ("if f(a,\n     b):  # analyzer: ignore[DT101] why\n    pass", True, ""),
        ("if f(a,\n     b):\n    pass  # analyzer: ignore[DT101] why", False, ""),
    ],
)
def test_a_comment_is_about_its_statement(line: str, covered: bool, fault: str | None) -> None:
    found = list(in_text(f"import a\n\n\n\n{line}\n", "m.py", RULES))
    assert [one.covers(FINDING) for one in found] == ([covered] if fault is not None else [])
    assert not fault or fault in found[0].fault
    assert not any(one.covers(replace(FINDING, file="n.py")) for one in found)


@pytest.mark.parametrize(
    ("module", "file", "covered"),
    [("*", "*", True), ("a.*", "m*", True), ("a", "*", True), ("b.*", "*", False), ("a.*", "n.py", False)],
)
def test_globs_of_module_and_file(module: str, file: str, covered: bool) -> None:
    assert Suppression(("DT101",), "why", "here", module, file).covers(FINDING) is covered
    assert not Suppression(("DT201",), "why", "here", module, file).covers(FINDING)


def test_a_finding_of_both_stages_is_one_with_both_names(tmp_path: Path) -> None:
    flow, found = many_layers(1, faulty=True)
    train = replace(report(flow, found), plan=Plan(stage="train"))
    both = replace(train, others=(replace(report(flow, found), plan=Plan(stage="eval")),))
    (one,) = judge(both, tmp_path, tmp_path).judged
    assert one.stages == ("train", "eval")


def test_runs_of_other_stages_are_not_compared() -> None:
    flow, found = many_layers(1, faulty=True)
    plain = report(flow, found)
    both = replace(plain, plan=Plan(stage="train"), others=(replace(plain, plan=Plan(stage="eval")),))
    assert compare(both, both, ("a", "b")).empty
    with pytest.raises(AnalyzerError, match="other stages: train, eval and one run"):
        compare(both, plain, ("a", "b"))
