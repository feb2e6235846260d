"""What the real runs of small models came to, as `tests.coverage.remote.confirming` keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

KEPT: Final = Path("build") / "remote-confirmed.jsonl"


def confirmed() -> dict[str, str]:
    """Code and finding -> what its real run did, for those that were run."""
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.exists() else []
    return {one["name"]: one["said"] for one in map(json.loads, lines)}
