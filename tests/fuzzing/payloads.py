"""Code that must not run: wherever it does, it leaves a marker that is seen from outside."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, Final

MARKER: Final = Path("/tmp/analyze-fuzzing-marker")
"""The same for every run, or the inputs that name it would not be."""
NAME: Final = "FUZZ-MARKER"
"""Of a file in whatever folder the code may write to."""
SAID: Final = b"FUZZ-RAN"
"""What it writes on stderr: a confined worker can write nowhere else. The code never holds it in one piece."""
CODE: Final = f"""
import os, tempfile
os.write(2, b"FUZZ" + b"-RAN")
for _place in ({str(MARKER)!r}, os.path.join(tempfile.gettempdir(), {NAME!r}), {NAME!r}, "model/{NAME}"):
    try:
        open(_place, "a").close()
    except OSError:
        pass
"""
LINE: Final = f"exec({CODE!r})"
"""The same as one expression."""
MODULE: Final = "analyze_fuzzing_marker"
"""A module on the import path whose import leaves the marker; whoever imports a name from a file finds it."""


def module_folder(folder: Path) -> Path:
    """A folder for PYTHONPATH that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{MODULE}.py").write_text(CODE, encoding="utf-8")
    return folder


class _Runs:
    def __init__(self, function: Any, *given: object) -> None:
        self._call = function, given

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self._call


def pickled(number: int) -> bytes:
    """A pickle that runs code when it is loaded, in one of several ways."""
    import os

    ways = (
        _Runs(exec, CODE), _Runs(eval, LINE), _Runs(os.system, f"touch {MARKER} {NAME} model/{NAME}"),
        _Runs(__import__, MODULE), _Runs(open, str(MARKER), "w"), {"state": {"a": _Runs(exec, CODE)}},
    )  # fmt: skip
    return pickle.dumps(ways[number % len(ways)], protocol=2 + number % 3)
