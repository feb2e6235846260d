"""What a worker says is not believed: only well-formed events pass, and only plain files of its folder count."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import AnalyzerError
from analyzer.worker import process, protocol
from analyzer.worker.process import EndedError, Worker, WorkerOptions
from analyzer.worker.protocol import Setup, TraceRequest

TEXT = st.text(max_size=20)
REQUESTS = st.builds(
    TraceRequest, TEXT, flags=st.dictionaries(TEXT, TEXT | st.booleans()), recipes=st.lists(TEXT).map(tuple),
    stage=st.none() | TEXT, inputs=st.none() | TEXT, trust_remote_code=st.booleans(),
    stubs=st.lists(TEXT).map(tuple), steps=TEXT, tries=st.lists(TEXT).map(tuple),
)  # fmt: skip


@given(REQUESTS)
def test_a_request_arrives_as_it_was_sent(request: TraceRequest) -> None:
    raw = protocol.line({"request": request.to_json()})
    assert raw.count(b"\n") == 1
    assert TraceRequest.from_json(protocol.read_line(raw)["request"]) == request


@pytest.mark.parametrize("data", [None, 1, {}, {"model": 1}, {"model": "m", "colour": "red"}])
def test_another_request_is_refused(data: object) -> None:
    with pytest.raises(AnalyzerError):
        TraceRequest.from_json(data)


def test_another_protocol_is_refused() -> None:
    assert Setup.from_json(Setup("here").to_json()) == Setup("here")
    with pytest.raises(AnalyzerError, match="protocol 1 alone"):
        Setup.from_json({**Setup("here").to_json(), "protocol": 2})


class Scripted:
    """A worker that says what it was made to say, and then is gone."""

    def __init__(self, said: bytes) -> None:
        self.reader = io.BytesIO(said)
        self.killed = False

    def write(self, data: bytes, patience: float) -> bool:
        return True

    def memory(self) -> int:
        return 0

    def kill(self) -> None:
        self.killed = True

    def end(self) -> None:
        pass

    def last_words(self) -> str:
        return "it is gone"


def _asked(tmp_path: Path, said: bytes) -> tuple[Scripted, Callable[[], bytes]]:
    channel = Scripted(said)
    worker = Worker(channel, tmp_path, WorkerOptions(), lambda _: None)
    return channel, lambda: worker.ask("trace", {}, lambda _: None).data


FORGED = {
    "no JSON": b"not json\n",
    "no object": b"[]\n",
    "an unknown event": b'{"event": "sing"}\n',
    "no text": b'{"event": "step", "text": 5}\n',
    "no step": b'{"event": "step"}\n',
    "no file": b'{"event": "answer"}\n',
    "half an error": b'{"event": "error", "kind": "refused"}\n',
    "too deep": b"[" * 100_000 + b"\n",
    "half a line": b'{"event": "step", "te',
    "a line without end": b'{"event": "step", "text": "' + b"x" * (2 << 20) + b'"}\n',
    "on and on": b'{"event": "step", "text": "more"}\n' * (process.SAID + 1),
    **{
        f"the file {name}": protocol.line({"event": "answer", "file": name})
        for name in ("../secret", "/etc/hostname", "link", "folder", "pipe", "", ".", "a\0b", "gone")
    },
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes")
@pytest.mark.parametrize("name", FORGED)
def test_a_worker_that_says_what_it_may_not_is_ended(name: str, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (scratch / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(scratch / "pipe")
    channel, ask = _asked(scratch, FORGED[name])
    with pytest.raises(AnalyzerError, match="said what it may not say"):
        ask()
    assert channel.killed


def test_an_answer_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ANSWER", 10)
    (tmp_path / "answer").write_bytes(b"x" * 11)
    with pytest.raises(AnalyzerError, match="may not say"):
        _asked(tmp_path, protocol.line({"event": "answer", "file": "answer"}))[1]()


def test_what_is_said_in_order_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "answer").write_bytes(b"{}")
    said = [{"event": "hello"}, {"event": "confined", "line": ""}, {"event": "answer", "file": "answer"}]
    assert _asked(tmp_path, b"".join(map(protocol.line, said)))[1]() == b"{}"
    with pytest.raises(EndedError, match="it is gone"):
        _asked(tmp_path, b"")[1]()
