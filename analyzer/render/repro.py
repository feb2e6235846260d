"""One short script of plain torch for each error, which raises the same words as the model does."""

from __future__ import annotations

from pathlib import PurePath

from analyzer.escaping import as_comment
from analyzer.ir.dtypes import short
from analyzer.ir.findings import Finding
from analyzer.ir.witness import CPU
from analyzer.render.script_lines import refused
from analyzer.report import Report, no_script


def render(report: Report) -> dict[str, bytes]:
    """File name -> Python source, for every error that can be raised alone; `unwritten` tells why another has none."""
    files: dict[str, bytes] = {}
    for one, finding in report.found():
        if finding.severity != "error" or unwritten(one, finding):
            continue
        stem = _safe(f"{finding.code}-{PurePath(finding.file).name or finding.call or finding.op}-{finding.line}")
        number = sum(name == f"{stem}.py" or name.startswith(f"{stem}.again") for name in files)
        files[f"{stem}.again{number}.py" if number else f"{stem}.py"] = _source(one, finding).encode(
            "utf-8", "backslashreplace"
        )
    return files


def unwritten(report: Report, finding: Finding) -> str:
    """Why no script is written for an error; "" if one is, or if it is no error."""
    if finding.severity != "error":
        return ""
    return no_script(report.graph, finding) or refused(_lines(report, finding))


def _lines(report: Report, finding: Finding) -> tuple[str, ...]:
    script = report.graph[finding.nodes[0]].script
    return script.lines if script else ()


def _source(report: Report, finding: Finding) -> str:
    foreign = finding.asked != CPU
    head = [as_comment(_about(report, finding))]
    head += [as_comment(f"The verdict is that of {finding.asked}: run it there.")] if foreign else []
    device = ['torch.set_default_device("cuda")'] if finding.asked.knows_device and report.plan.device == "cuda" else []
    return "\n".join([*head, "import torch", "", *device, *_lines(report, finding), ""])


def _about(report: Report, finding: Finding) -> str:
    place = f"{finding.file}:{finding.line}" if finding.file else "a line that is not known"
    node = report.graph[finding.nodes[0]]
    odd = [o for o in finding.operands if o.dtype != node.repair and (not node.odd or o.position in node.odd)]
    odd = odd or list(finding.operands)
    origins = dict.fromkeys(origin for operand in odd for origin in operand.origins)
    causes = ", ".join(f"{short(o.dtype)} from {o.kind} {o.name}" for o in origins)
    parts = (f"{finding.code} {finding.name} at {place}", f"in {finding.module}" * bool(finding.module), causes)
    return " ".join("; ".join(part for part in parts if part).split())


def _safe(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
