"""A check of the seed in small, with names that every format must make harmless."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from analyzer.check import Baseline, Check, Entry, Suppression, identities, judge
from analyzer.ir.findings import Finding
from analyzer.ir.fixes.proposals import Edit
from tests.render.models import report, seed

NASTY: Final = 'a|b`c```<script>x</script>\n::error::%0A,"]] --> @all \\ ]]></failure>\x07\ud800</details> 雪'
SOURCE: Final = "y = x @ w  # ``` </details>"
BEFORE: Final = f"import torch\n\n{SOURCE}\n"


def check(folder: Path, name: str = NASTY) -> Check:
    """One new error with a diff, one known and one suppressed warning, a lost entry and an unused suppression."""
    flow, (error, _) = seed()
    origin = replace(error.operands[0].origins[0], name=name, file="resampler.py", line=1)
    operand = replace(error.operands[0], origins=(origin,))
    new = replace(error, message=name, module=name, call=name, line=3, operands=(operand,), source=SOURCE)
    known = Finding("DT201", "promotion-not-undone", "warning", name, "op", "", "llm", "x/lib.py", 7, ("h3",))
    accepted = replace(known, code="DT202", name="float64-leak", nodes=("h4",))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resampler.py").write_text(BEFORE)
    (folder / "config.json").write_text("{}")
    made = replace(report(flow, (new, known, accepted)), class_name=name)
    (_, (_, identity), _) = identities(made)
    lost = Entry("DT101", name, "", (), "", "error", name, "DT101-lost")
    check = judge(
        made,
        folder,
        folder.parent,
        baseline=Baseline((Entry.of(known, identity), lost)),
        suppressions=[
            Suppression(("DT202",), name, "pyproject.toml: suppress[0]"),
            Suppression((), "", name, fault=name),
        ],
    )
    edit = Edit("resampler.py", 3, BEFORE, BEFORE.replace("@ w", "@ w.to(x.dtype)"))
    first, *rest = check.judged
    return replace(check, judged=(replace(first, edit=edit), *rest))
