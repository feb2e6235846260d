"""Records what the installed release of transformers makes of the samples: run it beside each older release.

`python -m tests.loaders.old_code`, with a Python that has transformers 4.44, 4.48 or 4.57.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import transformers

from tests.loaders.old_code.running import facts, really
from tests.loaders.old_code.samples import SAMPLES


def main() -> None:
    """Run each sample without any help; those that the release cannot run are left out."""
    found = {}
    for name, code in SAMPLES.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                found[name] = really(code.write(Path(folder)))
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {error}")
    release = ".".join(transformers.__version__.split(".")[:2])
    lines = [f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(found.items())]
    facts(release).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{release}: {len(found)} of {len(SAMPLES)}")


if __name__ == "__main__":
    main()
