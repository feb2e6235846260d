"""Bad input is one line, of 300 characters unless advice takes more, that no terminal obeys; --debug says all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer.cli import main
from analyzer.cli.messages import LONGEST, LONGEST_WITH_ADVICE, shortened
from tests.worker.models import written

LONG = "x" * 5000
EVIL = "a\x1b[31m\n::error::b\u202e##vso[task]\ud800\r%0A"


def _line(capsys: pytest.CaptureFixture[str]) -> str:
    err = capsys.readouterr().err
    assert err.startswith("analyze: ") and err.endswith("\n") and err.count("\n") == 1, err
    line = err[:-1]
    assert len(line) <= (LONGEST_WITH_ADVICE if line.endswith(")") else LONGEST)
    assert line.isprintable() and "##vso" not in line
    return line


@pytest.mark.parametrize("text", [LONG, EVIL, EVIL * 200, "a\x00b", f"{'y' * 170}{EVIL}"])
@pytest.mark.parametrize("args", [
    ["{}"], ["trace", "{}"], ["trace", ".", "{}"], ["trace", ".", "--{}"], ["trace", ".", "--{}=1"],
    ["trace", ".", "--dtype", "{}"], ["trace", ".", "--set", "{}"], ["trace", ".", "--set", "{}=f32q"],
    ["trace", ".", "--device", "{}"], ["trace", ".", "--deadline", "{}"], ["trace", ".", "--steps", "{}"],
    ["trace", ".", "--out", "{}"], ["trace", ".", "--out", "{}.svg/a.svg"], ["trace", ".", "--recipe", "{}"],
    ["trace", ".", "--finding", "{}"], ["trace", ".", "--python", "{}"], ["trace", ".", "--stub", "{}"],
    ["trace", ".", "--adapter", "{}"], ["trace", ".", "--autocast", "{}"], ["trace", ".", "--stage", "{}"],
    ["check", ".", "--also", "{}"], ["check", ".", "--format", "{}"], ["check", ".", "--baseline", "{}"],
    ["check", ".", "--out", "{}/b"], ["diff", ".", "--rev", "{}"], ["diff", ".", ".", "--a", "{}"],
    ["diff", ".", ".", "--plan-a", "{}"], ["fix", ".", "--out", "{}"], ["explain", "{}"],
    ["draw", "{}", "--out", "a.svg"],
])  # fmt: skip
def test_a_hostile_argument(
    args: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([part.replace("{}", text) for part in args]) == 2
    _line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_the_ends_of_a_long_line_stay_and_debug_says_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"{'long' * 60}.json"
    file.write_text("{}")
    assert main(["trace", str(file)]) == 2
    line = _line(capsys)
    assert line.startswith("analyze: ") and " ... " in line and line.endswith("or a file *.pt2 or *.py)")
    assert main(["trace", str(file), "--debug"]) == 2
    assert str(file) in capsys.readouterr().err.splitlines()[-1]
    assert main(["trace", str(tmp_path), "--nope" + LONG, "--debug"]) == 2
    assert LONG in capsys.readouterr().err


@pytest.mark.parametrize("data", [
    {"model_type": EVIL}, {"model_type": LONG}, {"model_type": "llama", "torch_dtype": EVIL},
    {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": EVIL * 20},
])  # fmt: skip
def test_a_hostile_config(data: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(data))
    assert main(["trace", str(tmp_path)]) == 2
    _line(capsys)


def test_a_hostile_last_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = f"sys.stderr.buffer.write({EVIL.encode('utf-8', 'surrogatepass')!r} * 300); sys.stderr.flush(); os._exit(3)"
    assert main(["trace", written(tmp_path, body)]) == 2
    _line(capsys)


def test_a_full_place_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full, out = tmp_path / "full", tmp_path / "a.svg"
    full.mkdir()
    for number in range(100):  # Python tries as many names
        (full / f"analyze-{number}").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(full))
    monkeypatch.setattr("tempfile._get_candidate_names", lambda: iter(map(str, range(100))))
    monkeypatch.setattr("tempfile.TMP_MAX", 100)
    assert main(["trace", written(tmp_path), "--out", str(out)]) == 2
    assert "no temporary folder can be made" in _line(capsys) and not out.exists()


@pytest.mark.parametrize("advice", [
    " (pip install timm, or trace without it: --stub auto)",
    " (give yours with --inputs FILE) (--allow-incomplete exits with 0)",
    f" (write a file: def inputs(config): return {{{', '.join(['torch.ones(1, 16)'] * 30)}}})",
])  # fmt: skip
def test_a_long_line_keeps_what_to_do(advice: str) -> None:
    line = shortened(f"analyze: {LONG}{advice}")
    assert line.startswith("analyze: xxx") and line.endswith(advice) and " ... " in line
    assert len(line) == max(LONGEST, len(advice) + 180) <= LONGEST_WITH_ADVICE


@pytest.mark.parametrize("text", [
    f"{LONG}()", f"({LONG})", f"a ({LONG})", ")" * 5000, "(" * 5000, " ()" * 5000, f"{LONG} a) (b)"[:-1],
])  # fmt: skip
def test_a_long_line_without_short_advice_is_cut(text: str) -> None:
    assert len(shortened(text)) == LONGEST
