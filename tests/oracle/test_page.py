"""The page of a device is made from its data file."""

from __future__ import annotations

import os
from pathlib import Path

from analyzer.oracle import device_rows, operator_dtypes
from analyzer.oracle.devices_page import page

PAGE = Path(__file__).parents[2] / "docs" / "devices.md"


def test_golden_page_of_cuda() -> None:
    made = page("cuda", "CUDA", device_rows.load("cuda"), operator_dtypes.load("cuda"))
    if os.environ.get("UPDATE_GOLDENS"):
        PAGE.write_text(made, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == made


def test_the_page_holds_every_row_and_note() -> None:
    known = device_rows.load("cuda")
    stated = operator_dtypes.load("cuda")
    text = page("cuda", "CUDA", known, stated)
    heads = text.count("\n| operands |") + 1
    assert text.count("\n| ") - heads == len(known.rows) + len(stated.rows)
    assert all(what in text and reference in text for what, reference in known.as_on_cpu)
    assert all(what in text for what in known.unknown)
