"""Whatever a model's code does to its worker, the command ends in time, with one line, and keeps what there is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from _thread import interrupt_main
from pathlib import Path

import pytest

from analyzer.cli import main
from analyzer.watched import resident
from analyzer.worker import process
from tests.worker.models import LINE, clean, written

__all__ = ["clean"]
SLEEPS = "time.sleep(60)"
DEAF = "sum(range(1 << 40))  # no signal is heard in there"


def _trace(model: str, *args: str) -> tuple[int, Path]:
    out = Path(model).with_suffix(".json")
    return main(["trace", model, "--out", str(out), *args]), out


def _stopped(out: Path) -> str:
    report = json.loads(out.read_text())
    assert any(node["op"] == "aten.addmm.default" for node in report["graph"]["nodes"])  # the first layer is there
    return str(report["coverage"]["incomplete"])


def test_a_deadline_keeps_what_was_reached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.monotonic()
    code, out = _trace(written(tmp_path, SLEEPS), "--deadline", "3")
    assert code == 2 and time.monotonic() - begun < 30
    assert _stopped(out).startswith(f"stopped after 3 s (--deadline) at model.py:{LINE}")
    assert capsys.readouterr().err == "analyze: stopped after 3 s (--deadline); the report holds what was reached\n"


def test_a_worker_that_does_not_hear_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "GRACE", 1.0)
    code, out = _trace(written(tmp_path, DEAF), "--deadline", "3")
    assert (code, out.exists()) == (2, False)
    assert capsys.readouterr().err == "analyze: stopped after 3 s (--deadline)\n"


def test_a_worker_computes_with_one_thread(tmp_path: Path) -> None:
    code, _ = _trace(written(tmp_path, "assert torch.get_num_threads() == 1, torch.get_num_threads()"))
    assert code == 0


@pytest.mark.parametrize(
    ("number", "code", "words"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_the_command_and_keeps_what_was_reached(
    number: int, code: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timer = threading.Timer(4, interrupt_main, [number])
    timer.start()
    ended, out = _trace(written(tmp_path, SLEEPS))
    timer.cancel()
    assert ended == code and _stopped(out).startswith(f"{words} at model.py")
    assert capsys.readouterr().err == f"analyze: {words}; the report holds what was reached\n"


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timers = [threading.Timer(wait, interrupt_main, [signal.SIGINT]) for wait in (3, 4)]
    for timer in timers:
        timer.start()
    begun = time.monotonic()
    code, out = _trace(written(tmp_path, DEAF))
    assert (code, out.exists()) == (130, False) and time.monotonic() - begun < 3 + process.GRACE
    assert capsys.readouterr().err == "analyze: interrupted\n"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")
def test_a_worker_that_takes_too_much_memory_is_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "kept = []\nwhile True:\n    kept.append(bytearray(os.urandom(1 << 20)) * 16)\n    time.sleep(0.01)"
    code, _ = _trace(written(tmp_path, body), "--max-memory", "1.5")
    assert code == 2
    assert capsys.readouterr().err == "analyze: stopped: it needs more than 1.5 GB of memory (--max-memory)\n"


@pytest.mark.skipif(sys.platform != "linux", reason="there an address space can be bounded")
def test_one_huge_reservation_is_an_error_of_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = _trace(written(tmp_path, "bytearray(1 << 40)"), "--max-memory", "2")
    assert code == 2 and "MemoryError" in _stopped(out)
    assert capsys.readouterr().err.startswith("analyze: incomplete: the model stopped with MemoryError")


@pytest.mark.parametrize("body", ["ctypes.string_at(0)", "os._exit(3)", "os.abort()"])
def test_a_worker_that_dies_is_told_in_one_line(body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = _trace(written(tmp_path, body))
    err = capsys.readouterr().err
    assert (code, out.exists(), err.count("\n")) == (2, False, 1)
    assert err.startswith("analyze: the process that traces ended")


def test_what_a_model_prints_stays_out_of_both_streams(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    body = "print('x' * 100_000); os.write(1, b'raw'); sys.stderr.write('noise')"
    assert main(["trace", written(tmp_path, body), "--out", "-"]) == 0
    captured = capfdbinary.readouterr()
    assert captured.out.startswith(b"<?xml") and captured.out.rstrip().endswith(b"</svg>")
    assert not any(word in captured.err for word in (b"xxx", b"raw", b"noise"))


def test_earlier_stages_are_kept_when_a_later_one_ends_the_worker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = written(tmp_path, "if not self.training:\n    os._exit(3)")
    recipe = tmp_path / "args.json"
    recipe.write_text(json.dumps({"output_dir": "x", "bf16": True, "do_eval": True, "eval_strategy": "steps"}))
    code, out = _trace(model, "--recipe", str(recipe))
    report = json.loads(out.read_text())
    assert (code, report["plan"]["stage"]) == (2, "train")
    assert report["coverage"]["incomplete"] == "not traced: eval"
    assert "the report holds what was reached" in capsys.readouterr().err


def test_a_worker_goes_when_its_front_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib, tempfile\nfrom analyzer.worker.channel import Fresh\n"
        "channel = Fresh()(pathlib.Path(tempfile.mkdtemp(dir=sys.argv[1])))\n"
        "print(channel._process.pid, flush=True)\ntime.sleep(60)"
    )
    front = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert front.stdout is not None
    worker = int(front.stdout.readline())
    assert sys.platform != "linux" or resident(worker) > 0
    front.kill()
    front.wait()
    end = time.monotonic() + 10
    while _runs(worker):
        assert time.monotonic() < end, "the worker is still there"
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().split()[2] == "Z")  # nobody here waits for it


def test_in_process_gives_the_same_report(clean: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out = _trace(clean)
    apart = out.read_bytes()
    assert _trace(clean, "--in-process")[0] == 0
    assert out.read_bytes() == apart and capsys.readouterr().err == "analyze: not confined: --in-process\n"


@pytest.mark.parametrize("other", ["/nowhere/python", "/bin/true"])
def test_an_interpreter_that_is_none(other: str, clean: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _trace(clean, "--python", other)[0] == 2  # one that cannot start, one that is no Python
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and ("cannot be started" in err or "ended with status 0" in err)


def test_what_a_model_prints_in_process_stays_out_of_stdout(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["trace", written(tmp_path, "print('hello')"), "--out", "-", "--in-process"]) == 0
    captured = capfdbinary.readouterr()
    assert captured.out.startswith(b"<?xml") and b"hello" in captured.err


def test_a_link_out_of_the_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "config.json").write_text("{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").symlink_to(tmp_path / "elsewhere" / "config.json")
    assert main(["trace", str(tmp_path / "model"), "--require-confined"]) == 2
    err = capsys.readouterr().err
    assert "is a link to" in err and "a link may not lead out of the model folder" in err


def test_an_interpreter_without_torch_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True)
    python = str(tmp_path / "bare" / "bin" / "python")
    assert main(["trace", written(tmp_path), "--python", python]) == 2
    assert "has no torch (" in capsys.readouterr().err
