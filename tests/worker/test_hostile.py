"""A model's code that turns on the front: it forges answers, never stops talking, never listens, and leaves a mess."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from analyzer.cli import main
from analyzer.worker import process
from analyzer.worker.scratch import remove, scratch_folder
from tests.worker.models import written

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks for its pipes in /proc")
FORGE = """
import json, stat, tempfile
scratch = tempfile.gettempdir()
mine = [int(n) for n in os.listdir('/proc/self/fd') if int(n) > 2]
pipes = [n for n in mine if os.path.exists(f'/proc/self/fd/{n}') and stat.S_ISFIFO(os.fstat(n).st_mode)]
def say(**event):
    for pipe in pipes:
        try:
            os.write(pipe, (json.dumps(event) + chr(10)).encode())
        except OSError:
            pass
def answer(data):
    with open(os.path.join(scratch, 'forged'), 'w') as file:
        json.dump(data, file)
    say(event='answer', file='forged')
    time.sleep(30)
"""


def _model(folder: Path, body: str) -> str:
    (folder / "m").mkdir(exist_ok=True)
    return written(folder / "m", FORGE + body)


def _fix(file: str, before: str = "", line: int = 1) -> str:
    proposal = {"kind": "source", "what": "cast x", "edits": [
        {"file": file, "line": line, "before": before, "after": "PWNED", "casts": 1}]}  # fmt: skip
    trial = {"proposal": proposal, "ran": True, "errors_before": 1, "errors_left": 0}
    forged = {"schema": 1, "errors": 1, "trials": [trial], "plans": []}
    return f"answer(json.loads({json.dumps(forged)!r}))"


@pytest.mark.parametrize("name", ["../victim.py", "{}/victim.py", "victim.txt", "..\\victim.py", "other.py"])
@pytest.mark.parametrize("how", ["--in-place", "--apply"])
def test_a_forged_fix_writes_nothing_outside_the_model(
    name: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    victim = tmp_path / "victim.py"
    victim.write_text("mine")
    model = _model(tmp_path, _fix(name.format(tmp_path)))
    target = [how, str(tmp_path / "patched")] if how == "--apply" else [how]
    assert main(["fix", model, *target]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and ("inside the model's folder" in err or "no code of" in err), err
    assert victim.read_text() == "mine" and sorted(p.name for p in tmp_path.iterdir()) == ["m", "victim.py"]
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["model.py"]


def test_a_fix_of_a_file_that_has_changed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = _model(tmp_path, _fix("model.py", before="not what it holds"))
    before = Path(model).read_text()
    assert main(["fix", model, "--in-place"]) == 2
    assert "has changed since it was traced" in capsys.readouterr().err and Path(model).read_text() == before


def test_last_words_are_read_from_no_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret\n")
    body = f"os.path.lexists(scratch + '/stderr') and os.unlink(scratch + '/stderr')\n" \
           f"os.symlink({str(secret)!r}, scratch + '/stderr')\nos._exit(1)"  # fmt: skip
    assert main(["trace", _model(tmp_path, body)]) == 2
    assert "secret" not in capsys.readouterr().err


def test_one_that_never_stops_talking_meets_its_deadline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = "while True:\n    say(event='step', text='more')\n    time.sleep(0.003)"
    begun = time.monotonic()
    assert main(["trace", _model(tmp_path, body), "--deadline", "3"]) == 2
    assert time.monotonic() - begun < 3 + process.GRACE and "--deadline" in capsys.readouterr().err


def test_one_that_never_listens_is_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = """
    import fcntl
    asked = [n for n in (0, *pipes) if fcntl.fcntl(n, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY]
    for n in asked:
        try:
            w = os.open(f'/proc/self/fd/{n}', os.O_WRONLY | os.O_NONBLOCK)
            kept = os.pipe()
            os.dup2(kept[0], n)
            while True:
                os.write(w, b'x' * 4096)
        except OSError:
            pass
    time.sleep(60)
    """
    begun = time.monotonic()
    assert main(["trace", _model(tmp_path, "\n".join(line[4:] for line in body.splitlines())), "--deadline", "3"]) == 2
    assert time.monotonic() - begun < 3 + process.GRACE + 15  # the first worker of a process takes some seconds
    assert "--deadline" in capsys.readouterr().err


@pytest.mark.parametrize("forged", [[1, 2], {"a": 1}, [], "text", [{"file": "../../etc/passwd", "line": -5}]])
def test_forged_edits_are_refused(forged: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from analyzer.errors import AnalyzerError
    from analyzer.report.trials import parse_edits

    with pytest.raises(AnalyzerError, match="cannot be read"):
        parse_edits(json.dumps(forged).encode(), 1, "it")


def test_an_answer_of_nothing_but_brackets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "CONTAINERS", 1000)
    assert main(["trace", _model(tmp_path, "answer([[]] * 2000)")]) == 2
    assert "more than any report does" in capsys.readouterr().err


def test_a_mess_in_the_scratch_folder_is_removed(tmp_path: Path) -> None:
    with scratch_folder() as scratch:
        (scratch / "closed" / "in").mkdir(parents=True)
        (scratch / "closed").chmod(0)
        (tmp_path / "kept").write_text("kept")
        (scratch / "link").symlink_to(tmp_path)
        (scratch / "moved-0").mkdir()
        inner = scratch
        for _ in range(200):
            inner /= "d" * 10
            inner.mkdir()
    assert not scratch.exists() and (tmp_path / "kept").exists()


def test_folders_deeper_than_a_path_can_be(tmp_path: Path) -> None:
    body = "os.chdir(scratch)\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')"
    out = tmp_path / "report.json"
    assert main(["trace", _model(tmp_path, body), "--out", str(out)]) == 0 and out.exists()


def test_remove_tells_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        remove(tmp_path / "gone")
