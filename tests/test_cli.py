"""The command: what it refuses before any work, what it writes where, and its exit codes; torch stays out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analyzer import cli, pipeline, plans
from analyzer.cli import explain
from analyzer.errors import AnalyzerError
from analyzer.worker.process import Ended
from analyzer.worker.protocol import TraceRequest
from tests.versions import FIVE

ROOT = Path(__file__).parent.parent


def _run(*args: str) -> subprocess.CompletedProcess[str]:
    quiet = ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY")  # a command that ran in this process has set them
    env = {**{name: value for name, value in os.environ.items() if name not in quiet}, "COLUMNS": "80"}
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, cwd=ROOT, check=False, env=env)


def test_help_and_explain_import_nothing_heavy() -> None:
    code = (
        "import sys, analyzer\nfrom analyzer.cli import main\nmain(['trace', '--help']); main(['explain'])\n"
        "sys.exit(bool({'torch', 'transformers', 'networkx', 'rich', 'numpy'} & set(sys.modules)))"
    )
    assert _run("-c", code).returncode == 0


def test_readme_shows_the_real_help_golden() -> None:
    readme = ROOT / "README.md"
    before, mark, rest = readme.read_text(encoding="utf-8").partition("$ analyze trace --help\n")
    shown, fence, after = rest.partition("```")
    real = _run("-m", "analyzer", "trace", "--help").stdout.strip()
    if os.environ.get("UPDATE_GOLDENS"):
        readme.write_text("".join((before, mark, real, "\n", fence, after)), encoding="utf-8")
    else:
        assert shown.strip() == real


def test_libraries_say_nothing_of_their_own(tmp_path: Path) -> None:
    scaling = {"type": "longrope", "short_factor": [1.0] * 2, "long_factor": [2.0] * 2}
    settings = {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "hidden_size": 16, "vocab_size": 32,
                "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4,
                "pad_token_id": 0, "max_position_embeddings": 64, "original_max_position_embeddings": 32,
                "rope_scaling": scaling}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(settings))
    done = _run("-m", "analyzer", "trace", str(tmp_path), "--out", "-")
    assert (done.returncode, done.stdout[:5]) == (0, "<?xml")
    assert done.stderr.startswith("Phi3ForCausalLM: "), done.stderr  # the report, and nothing before it
    if FIVE:  # transformers 4 has no remark on this config
        loud = _run("-m", "analyzer", "trace", str(tmp_path), "--out", "-", "--debug").stderr
        assert "original_max_position_embeddings" in loud


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("analyze 0.")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A pipeline and renderers that answer at once; `stubs.requests` holds what was to be traced."""
    stubs = SimpleNamespace(severities=["error"], ended=None, incomplete="", layout_fails=False, requests=[])

    def picture(_: Any) -> bytes:
        if stubs.layout_fails:
            raise AnalyzerError("layout ran out of time")
        return b"<svg/>"

    def trace(_: Any, request: TraceRequest, __: Any) -> Any:
        stubs.requests.append(request)
        found = [(None, SimpleNamespace(severity=severity)) for severity in stubs.severities]
        return SimpleNamespace(found=lambda: found, incomplete=stubs.incomplete), stubs.ended

    formats = {".svg": picture, ".json": lambda _: b"{}\n"}
    terminal = SimpleNamespace(show=lambda _, console, notes: console.print("the report"))
    monkeypatch.setitem(sys.modules, "analyzer.render", SimpleNamespace(FORMATS=formats, terminal=terminal))
    monkeypatch.setattr(pipeline, "worker", lambda *_: nullcontext())
    monkeypatch.setattr(pipeline, "trace", trace)
    return stubs


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["{tmp}/nowhere"], "no such folder"),
        (["{model}/config.json"], "is a file, not a model folder"),
        (["{model}", "--dtype", "bf17"], "unknown dtype 'bf17'"),
        (["{model}", "--to", "float31"], "unknown dtype 'float31'"),
        (["{model}", "--set", "vpm.*"], "is not NAME=DTYPE"),
        (["{model}", "--set", "vpm.*=f31"], "unknown dtype 'f31'"),
        (["{model}", "--out", "{tmp}/a.bmp"], "unknown output format"),
        (["{model}", "--scope", "run"], "--scope says what autocast is around"),
        (["{model}", "--out", "{tmp}/graph"], "unknown output format"),
        (["{model}", "--out", "{tmp}/missing/a.svg"], "no such output folder"),
        (["{model}", "--out", "{model}"], "is a folder"),
        (["{model}", "--inputs", "{tmp}/none.py"], "no such inputs file"),
        (["{model}", "--recipe", "{tmp}/none.json"], "no such recipe file"),
        (["{model}", "--repro", "{model}/config.json"], "is a file"),
        (["{model}", "--repro", "{model}/config.json/deep/er"], "is a file"),
        (["{model}", "--device", "tpu"], "'tpu' is not one of"),
        (["{model}", "--frobnicate"], "No such option"),
        ([], "Missing argument"),
    ],
)
def test_refusals_are_one_line_before_any_work(
    args: list[str], words: str, model: Path, stubs: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trace", *(a.format(tmp=model.parent, model=model) for a in args)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("analyze: ") and captured.err.count("\n") == 1 and words in captured.err
    assert not captured.out and not stubs.requests
    assert [p.name for p in model.parent.rglob("*")] == ["model", "config.json"]


def test_read_only_targets_are_refused(
    model: Path, stubs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.access", lambda _, mode: mode != os.W_OK)  # root may write anywhere
    assert cli.main(["trace", str(model), "--out", str(model / "a.svg")]) == 2
    assert "read-only" in capsys.readouterr().err


def test_flags_become_the_plan(model: Path, stubs: SimpleNamespace) -> None:
    flags = ["--dtype", "bf16", "--to", "half", "--set", "a=b=f32", "--input-dtype", "x=fp16", "--device", "cpu"]
    cli.main(["trace", str(model), *flags, "--train"])
    (request,) = stubs.requests
    (plan,) = plans.make(request.flags)
    assert (plan.dtype, plan.to, plan.device, plan.train) == ("bfloat16", "float16", "cpu", True)
    assert (plan.set, plan.input_dtypes) == ({"a=b": "float32"}, {"x": "float16"})


@pytest.mark.parametrize(
    ("severities", "fail_on", "code"),
    [
        (["error"], "error", 1),
        (["warning", "note"], "error", 0),
        (["warning"], "warning", 1),
        (["note"], "warning", 0),
        (["error"], "never", 0),
        ([], "warning", 0),
    ],
)
def test_exit_codes(severities: list[str], fail_on: str, code: int, model: Path, stubs: SimpleNamespace) -> None:
    stubs.severities = severities
    assert cli.main(["trace", str(model), "--fail-on", fail_on]) == code


@pytest.mark.parametrize(
    ("severities", "more", "code", "lines"),
    [
        ([], [], 2, 1),
        (["note", "warning"], [], 2, 1),
        (["warning"], ["--fail-on", "warning"], 1, 0),
        (["error"], [], 1, 0),
        (["error"], ["--fail-on", "never"], 2, 1),
        (["error"], ["--allow-incomplete"], 1, 0),
        ([], ["--allow-incomplete"], 0, 0),
        ([], ["--allow-incomplete", "--require-complete"], 2, 1),
    ],
)
def test_exit_codes_of_a_run_that_stopped_early(
    severities: list[str], more: list[str], code: int, lines: int, model: Path, stubs: SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    stubs.severities, stubs.incomplete = severities, "out of pictures"
    assert cli.main(["trace", str(model), "--out", str(model / "a.json"), *more]) == code
    err = capsys.readouterr().err
    assert err.count("\n") == lines and ("incomplete: out of pictures" in err) == bool(lines)
    assert (model / "a.json").exists()


@pytest.mark.parametrize(
    ("ended", "severities", "more", "code"),
    [
        (2, [], [], 2),
        (2, ["error"], [], 1),
        (2, [], ["--allow-incomplete"], 0),
        (130, ["error"], ["--allow-incomplete"], 130),
        (143, [], ["--allow-incomplete"], 143),
    ],
)
def test_exit_codes_of_a_run_that_was_ended(
    ended: int, severities: list[str], more: list[str], code: int, model: Path, stubs: SimpleNamespace
) -> None:
    stubs.ended, stubs.severities, stubs.incomplete = Ended(ended, "ended"), severities, "ended"
    assert cli.main(["trace", str(model), *more]) == code


def test_a_run_that_was_ended_writes_what_there_is(
    model: Path, stubs: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    stubs.ended = Ended(130, "interrupted")
    assert cli.main(["trace", str(model), "--out", str(model / "a.json")]) == 130
    assert capsys.readouterr().err == "analyze: interrupted; the report holds what was reached\n"
    assert (model / "a.json").read_bytes() == b"{}\n"


def test_several_outputs_and_stdout(
    model: Path, stubs: SimpleNamespace, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    svg, data = model.parent / "a.SVG", model.parent / "a.json"
    assert cli.main(["trace", str(model), "--out", str(svg), "--out", "-", "--out", str(data)]) == 1
    captured = capfdbinary.readouterr()
    assert (captured.out, captured.err) == (b"<svg/>", b"the report\n")
    assert (svg.read_bytes(), data.read_bytes()) == (b"<svg/>", b"{}\n")
    assert {p.name for p in model.parent.iterdir()} == {"model", "a.SVG", "a.json"}


def test_a_failed_layout_keeps_the_rest(
    model: Path, stubs: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    stubs.layout_fails = True
    svg, data = model.parent / "a.svg", model.parent / "a.json"
    svg.write_text("old")
    assert cli.main(["trace", str(model), "--out", str(svg), "--out", str(data)]) == 1
    captured = capsys.readouterr()
    assert "a.svg not written: layout ran out of time" in captured.err and captured.err.count("\n") == 1
    assert (svg.read_text(), data.read_text(), captured.out) == ("old", "{}\n", "the report\n")


def test_a_failed_write_leaves_the_old_file(
    model: Path, stubs: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    svg = model.parent / "a.svg"
    svg.write_text("old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdopen", full)
    assert cli.main(["trace", str(model), "--out", str(svg)]) == 1  # what was found stays found
    stubs.severities = []
    assert cli.main(["trace", str(model), "--out", str(svg)]) == 2
    assert capsys.readouterr().err.count("No space left") == 2
    assert svg.read_text() == "old" and len(list(model.parent.iterdir())) == 2


@pytest.mark.parametrize("debug", [True, False])
def test_unexpected_errors_name_their_type(
    debug: bool,
    model: Path,
    stubs: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr(pipeline, "trace", broken)
    assert cli.main(["trace", str(model), *(["--debug"] if debug else [])]) == 2
    err = capsys.readouterr().err
    assert err.splitlines()[-1].startswith("analyze: unexpected ZeroDivisionError: one two") and "--debug" in err
    assert ("Traceback" in err) is debug


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "dt101_mixed_product.py").write_text('"""A product of two dtypes.\n\nWhy it hurts.\n"""\n1 / 0\n')
    monkeypatch.setattr(explain, "RULES", tmp_path / "rules")


@pytest.mark.parametrize("code", ["DT101", "dt101", "mixed-product"])
@pytest.mark.usefixtures("rules")
def test_explain_reads_the_docstring_without_importing(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", code]) == 0
    assert capsys.readouterr().out == "DT101 mixed-product\n\nA product of two dtypes.\n\nWhy it hurts.\n"


@pytest.mark.parametrize(
    ("code", "hint"), [("DT011", "mean DT101?"), ("mixd-product", "mean mixed-product?"), ("zz", "known: DT101")]
)
@pytest.mark.usefixtures("rules")
def test_explain_of_a_typo_suggests(code: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", code]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"no rule '{code}'" in err and hint in err
