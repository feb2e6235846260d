"""Where people work: shells that complete, terminals with and without colour, narrow ones, pipes, notebooks."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import transformers as hf

import analyzer
from analyzer import cli
from analyzer.cli.examples import EXAMPLES
from tests.capture.models import TINY
from tests.render.checks import NASTY
from tests.render.models import report, seed

ROOT = Path(__file__).parent.parent
COLOUR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    hf.LlamaConfig(**TINY, architectures=["LlamaForCausalLM"]).save_pretrained(folder)
    return folder


def _env(**values: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **values}


def _analyze(*args: str, **values: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "analyzer", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=_env(**values))


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -o"), ("zsh", "#compdef analyze"), ("fish", "complete --")]
)
def test_each_shell_gets_a_script_that_asks_the_command(
    shell: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_ANALYZE_COMPLETE", f"{shell}_source")
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    script = capsys.readouterr().out
    assert ended.value.code == 0 and words in script and f"{shell}_complete" in script and "_ANALYZE_COMPLETE" in script


def test_the_bash_script_is_one_that_bash_takes(tmp_path: Path) -> None:
    script = _analyze(_ANALYZE_COMPLETE="bash_source").stdout
    (tmp_path / "complete.sh").write_text(script)
    done = subprocess.run(["bash", "-n", str(tmp_path / "complete.sh")], capture_output=True, check=False)
    assert script and done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("analyze ch", ["check"]),
        ("analyze explain mixed-p", ["mixed-product"]),
        ("analyze explain DT50", ["DT501", "DT502", "DT503", "DT504", "DT505", "DT506"]),
        ("analyze check --form", ["--format"]),
        ("analyze check m --format s", ["sarif"]),
    ],
)
def test_words_are_completed(
    typed: str, expected: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {"": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}.items():
        monkeypatch.setenv(key or "_ANALYZE_COMPLETE", value)
    with pytest.raises(SystemExit):
        cli.main([])
    assert [line.partition(",")[2] for line in capsys.readouterr().out.splitlines()] == expected


@pytest.mark.parametrize("command", [*cli.cli.commands, ""])
def test_help_has_examples_that_parse_and_fits_80_columns(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([*([command] if command else []), "--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80 and "..." not in shown.replace("COMMAND [ARGS]...", "")
    examples = [
        part for line in EXAMPLES[command].splitlines() if line.startswith("  analyze") for part in line.split("; ")
    ]
    assert examples or not command
    for example in examples:
        _, name, *args = shlex.split(example)
        cli.cli.commands[name].make_context(name, args)
        assert example in shown


@pytest.fixture
def screen() -> Iterator[tuple[io.TextIOWrapper, Callable[[], str]]]:
    """A terminal to write to, and what closes it and says all that it was given."""
    pty = pytest.importorskip("pty", reason="POSIX alone makes terminals")
    ours, theirs = pty.openpty()
    seen: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                seen.append(data)
        except OSError:
            return

    reader = threading.Thread(target=read)
    reader.start()
    terminal = os.fdopen(theirs, "w", encoding="utf-8")

    def written() -> str:
        terminal.close()
        reader.join()
        return b"".join(seen).decode()

    yield terminal, written
    written()
    os.close(ours)


@pytest.mark.parametrize(
    ("values", "coloured"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    values: dict[str, str], coloured: bool, model: Path, screen: tuple[io.TextIOWrapper, Callable[[], str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    terminal, written = screen
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"COLUMNS": "80"} | values).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", terminal)
    code = cli.main(["check", str(model), "--dtype", "bf16", "--set", "model.layers.1.mlp=f32"])
    text = written()
    hues = [
        part for code in COLOUR.findall(text) for part in code[2:-1].split(";") if re.fullmatch("3[0-8]|9[0-7]", part)
    ]
    assert code == 1 and "DT101" in text and bool(hues) is coloured
    assert max(map(len, COLOUR.sub("", text).splitlines())) <= 80


def test_a_pipe_gets_plain_text_and_nothing_on_stderr(model: Path) -> None:
    done = _analyze("trace", str(model), "--dtype", "bf16", "--set", "model.layers.1.mlp=f32", TERM="xterm-256color")
    assert (done.returncode, done.stderr) == (1, "") and "\x1b" not in done.stdout and "DT101" in done.stdout


def test_a_notebook_shows_findings_and_picture_and_runs_no_name(model: Path) -> None:
    traced = analyzer.trace(model, plan=analyzer.Plan(dtype="bfloat16", set={"model.layers.1.mlp": "float32"}))
    html, svg = traced._repr_html_(), traced._repr_svg_()
    assert html and svg and svg.startswith("<svg") and svg in html and "#1 error<br>DT101" in html
    flow, (error, note) = seed()
    nasty = report(flow, (error, note))
    nasty = type(nasty)(**{**{f: getattr(nasty, f) for f in nasty.__dataclass_fields__}, "class_name": NASTY})
    shown = nasty._repr_html_()
    assert shown and "<script" not in shown and shown.count("<div") == shown.count("</div>")
