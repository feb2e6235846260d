"""The report as JSON, version 1: what `writer` writes `reader` reads back, whole."""

from __future__ import annotations

from analyzer.report_json.reader import parse_report, read_report
from analyzer.report_json.writer import SCHEMA, plain_report

__all__ = ["SCHEMA", "parse_report", "plain_report", "read_report"]
