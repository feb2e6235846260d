"""What a run leaves on the machine and says of its own accord: nothing, whatever the environment asks libraries for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.capture.models import TINY
from tests.worker.models import written

ROOT = Path(__file__).parents[2]
LOUD = {"PYTHONWARNINGS": "always", "TRANSFORMERS_VERBOSITY": "debug", "DIFFUSERS_VERBOSITY": "debug"}


def _analyze(folder: Path, *args: str, **values: str) -> subprocess.CompletedProcess[str]:
    """The command in a folder, with a home and a place for temporary files that are empty."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TORCH", "XDG_"))}
    env |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT), **values}
    command = [sys.executable, "-m", "analyzer", *args]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def _files(folder: Path) -> set[str]:
    return {one.relative_to(folder).as_posix() for one in folder.rglob("*")} - {"home", "tmp"}


@pytest.mark.parametrize("how", [(), ("--in-process",)])
def test_a_trace_leaves_nothing_behind(how: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **TINY}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    done = _analyze(tmp_path, "trace", "m", "--out", "a.json", *how, **({} if how else LOUD))
    said = "analyze: not confined: --in-process\n" if how else ""
    assert (done.returncode, done.stderr) == (0, said)
    assert _files(tmp_path) == {"m", "m/config.json", "a.json"}


def test_what_reads_a_report_leaves_nothing_behind(tmp_path: Path) -> None:
    from analyzer.render.json import render
    from tests.render.models import report, seed

    (tmp_path / "r.json").write_bytes(render(report(*seed())))
    outs = [part for suffix in ("svg", "png", "pdf", "html", "dot") for part in ("--out", f"a.{suffix}")]
    drawn = _analyze(tmp_path, "draw", "r.json", *outs, **LOUD)
    compared = _analyze(tmp_path, "diff", "r.json", "r.json", **LOUD)
    assert [(one.returncode, one.stderr) for one in (drawn, compared)] == [(0, "")] * 2
    assert _files(tmp_path) == {"r.json", "a.svg", "a.png", "a.pdf", "a.html", "a.dot"}


def test_a_loud_model_is_not_heard(tmp_path: Path) -> None:
    body = """
    import logging, warnings
    print("out"); print("err", file=sys.stderr); warnings.warn("warned"); logging.error("logged")
    os.write(1, b"out of C"); os.write(2, b"err of C"); ctypes.CDLL(None).puts(b"buffered")
    """
    done = _analyze(tmp_path, "trace", written(tmp_path, body), "--device", "cpu", **LOUD)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Model: ") and not [w for w in ("out of C", "logged", "warned") if w in done.stdout]


NOISE = """
import atexit, logging, sys, threading, warnings
from pathlib import Path
def late(*_):
    warnings.warn("warned"); logging.getLogger("library").error("logged")
    class Odd:
        def __del__(self): raise ValueError("ignored")
    Odd()
    thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()
Path.cwd = classmethod(lambda cls, real=Path.cwd: late() or real())
"""
"""What a library may say while it is imported or used: the front's own process asks for the current folder."""


def test_a_loud_library_is_heard_with_debug_alone(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NOISE)
    heard = []
    for debug in ([], ["--debug"]):
        path = os.pathsep.join((str(tmp_path / "site"), str(ROOT)))
        done = _analyze(tmp_path, "explain", "DT101", *debug, PYTHONPATH=path, **LOUD)
        assert done.returncode == 0 and done.stdout.startswith("DT101 ")
        heard.append(done.stderr)
    assert heard[0] == "" and all(word in heard[1] for word in ("warned", "logged", "ignored", "ZeroDivisionError"))
