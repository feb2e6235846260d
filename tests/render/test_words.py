"""The words that formats share: a line says no more than is known."""

from __future__ import annotations

from dataclasses import replace

from analyzer.ir.findings import Finding, Operand, Origin
from analyzer.ir.reason import Reason
from analyzer.render.words import story
from tests.render.models import seed


def _told(finding: Finding, reason: Reason) -> list[str]:
    origin = Origin("cast", "float", "float32", "m.py", 7, reason)
    return story(replace(finding, operands=(Operand(0, "x", "float32", (2,), (origin,)),)))


def test_an_origin_without_a_reason_ends_with_its_line() -> None:
    finding = seed()[1][0]
    assert "f32 from cast float at m.py:7" in _told(finding, Reason())
    assert "f32 from cast float at m.py:7: why" in _told(finding, Reason("why"))
