"""What a project keeps beside a model: a baseline, suppressions, and its git history."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from tests.fuzzing.inputs import Content, Seed
from tests.fuzzing.seeds.configs import tiny
from tests.fuzzing.seeds.reports import written

_CHECK: Final = ("check", "model", "--set", "lm_head=float32")
_FORMATS: Final = ("text", "json", "sarif", "github", "gitlab", "junit", "markdown")
_PROJECT: Final = b"""
[project]
name = "x"
[tool.analyzer]
suppress = [
    { code = "DT101", module = "lm_head", file = "*", reason = "known" },
    { code = "DT201", module = "model.*", reason = "other" },
]
"""


def _baseline(kind: str) -> Seed:
    data = written((*_CHECK, "--baseline", "../out/b.json", "--update-baseline"), "b.json")
    return Seed({**tiny(), "b.json": data}, (*_CHECK, "--baseline", "b.json", "--format", kind), ("b.json",))


def _suppressed(place: str) -> Seed:
    return Seed({**tiny(), place: _PROJECT}, _CHECK, (place,))


def _revision() -> Seed:
    """A repository with two commits, its objects as files; what git writes does not depend on the machine."""
    alone = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
             **dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-01-01T00:00:00Z")}  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        top = Path(made)

        def git(*args: str) -> None:
            named = ("-c", "user.name=x", "-c", "user.email=x@x")
            subprocess.run(["git", *named, *args], cwd=top, env=alone, check=True, capture_output=True)

        git("init", "-q", "-b", "main")
        for dtype in ("float32", "bfloat16"):
            for name, content in tiny(dtype=dtype).items():
                (top / name).parent.mkdir(exist_ok=True)
                assert isinstance(content, bytes)
                (top / name).write_bytes(content)
            git("add", ".")
            git("commit", "-q", "-m", dtype)
        paths = [path for path in sorted(top.rglob("*")) if path.is_file() and "hooks" not in path.parts]
        files: dict[str, Content] = {path.relative_to(top).as_posix(): path.read_bytes() for path in paths}
    often = (".git/config", ".git/config", ".git/HEAD", ".git/index", ".git/refs/heads/main")
    objects = tuple(name for name in files if name.startswith(".git/objects"))
    return Seed(files, ("diff", "model", "--rev", "HEAD~1..HEAD"), (*often, *objects))


BASELINES: Final = {kind: partial(_baseline, kind) for kind in _FORMATS}
SUPPRESSIONS: Final = {place: partial(_suppressed, place) for place in ("pyproject.toml", "model/pyproject.toml")}
REVISIONS: Final[dict[str, Callable[[], Seed]]] = {"two commits": _revision}
