"""`python -m tests.releases [RELEASE...]`: the four models with each release of transformers, into docs/versions.md."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.releases import page
from tests.releases.environments import environment, published

_ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 600


def main(releases: list[str]) -> None:
    """Run each release in its environment and keep its rows; a release that is not there any more loses its own."""
    asked = releases or published()
    for release in asked:
        rows = run(release)
        for row in rows:
            print(release, row["model"], row["ops"], row["found"], row["stop"], row["real"], *row["wrong"], flush=True)
        page.keep(release, rows)
    page.write()


def run(release: str) -> list[dict[str, Any]]:
    """The rows of one release."""
    done = subprocess.run(
        [environment(release), "-m", "tests.releases.one"],
        cwd=_ROOT, env={**os.environ, "PYTHONPATH": str(_ROOT)}, capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip
    told = [line.removeprefix("ROW ") for line in done.stdout.splitlines() if line.startswith("ROW ")]
    if done.returncode or not told:
        sys.stderr.write(done.stderr)
    return [json.loads(line) for line in told]


if __name__ == "__main__":
    main(sys.argv[1:])
