"""`analyze check` on real code: what is known stays known, what is planted fails, what is accepted is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analyzer import cli
from tests.check.folders import PLANTED, REFUSED, edit, plant, renumber, sample

TRUSTED = "--trust-remote-code"
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 64,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64, "torch_dtype": "bfloat16",
}  # fmt: skip


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of the sample as it is."""
    folder = tmp_path_factory.mktemp("known")
    file = folder / "baseline.json"
    assert (
        cli.main(["check", str(sample(folder / "model")), TRUSTED, "--baseline", str(file), "--update-baseline"]) == 0
    )
    return file


def _checked(folder: Path, *args: str, code: int) -> Any:
    out = folder.parent / "out.json"
    assert cli.main(["check", str(folder), TRUSTED, "--format", "json", "--out", str(out), *args]) == code
    return json.loads(out.read_text())


def test_a_baseline_names_the_root_cause_without_lines(baseline: Path) -> None:
    data = json.loads(baseline.read_text())
    assert data["version"] == 1
    (entry,) = data["findings"]
    assert entry["code"] == "DT101" and entry["origins"] == ["parameter resampler.pos_embed"]
    assert entry["source"] == REFUSED and "line" not in entry


def test_known_findings_stay_known_when_lines_move_and_operations_come(baseline: Path, tmp_path: Path) -> None:
    data = _checked(renumber(sample(tmp_path / "model")), "--baseline", str(baseline), code=0)
    assert data["counts"] == {"new": 0, "known": 1, "suppressed": 0} and not data["gone"]


def test_a_fault_of_a_layer_stays_known_when_layers_come_and_it_moves(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    known = ("check", str(folder), "--baseline", str(tmp_path / "b.json"))
    for layers, fault, more, code in ((3, "2.mlp.up_proj", ["--update-baseline"], 0), (5, "4.mlp.up_proj", [], 0),
                                      (5, "4.mlp.down_proj", [], 1)):  # fmt: skip
        (folder / "config.json").write_text(json.dumps({**LLAMA, "num_hidden_layers": layers}))
        assert cli.main([*known, "--set", f"model.layers.{fault}=f32", *more]) == code


def test_a_planted_mixture_fails_with_its_own_line_and_a_proved_diff(baseline: Path, tmp_path: Path) -> None:
    data = _checked(plant(sample(tmp_path / "model")), "--baseline", str(baseline), code=1)
    new = [one for one in data["findings"] if one["state"] == "new"]
    assert [(one["code"], one["source"]) for one in new] == [("DT101", PLANTED)]
    assert data["counts"]["known"] == 1
    assert new[0]["diff"] and f"-        {PLANTED}\n" in new[0]["diff"]


def test_comments_and_pyproject_accept_findings_and_unused_ones_are_said(tmp_path: Path) -> None:
    folder = plant(sample(tmp_path / "model"))
    edit(folder, REFUSED, f"{REFUSED}  # analyzer: ignore[DT101] the trainer casts it")
    edit(
        folder,
        "        return self.ln_post(",
        "        # analyzer: ignore[DT201] nothing here\n        return self.ln_post(",
    )
    rows = [
        {"code": "mixed-product", "module": "resampler*", "file": "resampler.py", "reason": "known upstream"},
        {"code": "DT202", "reason": "not yet"},
    ]
    text = "".join(
        "[[tool.analyzer.suppress]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in r.items()) for r in rows
    )
    (tmp_path / "pyproject.toml").write_text(text)
    data = _checked(folder, "--fail-on-unused", code=1)
    assert data["counts"] == {"new": 0, "known": 0, "suppressed": 2} and not data["fails"]
    assert {one["reason"] for one in data["findings"]} == {"known upstream"}
    assert [one["where"].partition(":")[0] for one in data["unused_suppressions"]] == ["pyproject.toml", "resampler.py"]


BROKEN = {
    "no json": "{",
    "no object": "[]",
    "no list": '{"version": 1, "findings": {}}',
    "another version": '{"version": 2, "findings": []}',
    "no key": '{"version": 1, "findings": [{"code": "DT101"}]}',
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("update", [[], ["--update-baseline"]])
def test_a_broken_baseline_is_one_line_and_stays(
    name: str, update: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, file = tmp_path / "model", tmp_path / "baseline.json"
    model.mkdir()
    file.write_text(BROKEN[name])
    assert cli.main(["check", str(model), "--baseline", str(file), *update]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "baseline.json" in captured.err and not captured.out
    assert file.read_text() == BROKEN[name]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--update-baseline"], "--update-baseline needs --baseline"),
        (["--baseline", "{tmp}/none.json"], "no such baseline"),
        (["--baseline", "{tmp}/none/b.json", "--update-baseline"], "no such output folder"),
        (["--format", "xml"], "'xml' is not one of"),
        (["--out", "{tmp}/none/a.json"], "no such output folder"),
    ],
)
def test_refusals_come_before_any_work(
    args: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    assert cli.main(["check", str(tmp_path / "model"), *(a.format(tmp=tmp_path) for a in args)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.analyzer", "cannot be read"),
        ("[tool]\nanalyzer = 1", "is no table"),
        ("[tool.analyzer]\nsupress = []", "unknown key 'supress'"),
        ("[tool.analyzer]\nsuppress = 1", "no list of tables"),
        ('[tool.analyzer]\nsuppress = [{ code = "DT101" }]', "needs a code and a reason"),
        ('[tool.analyzer]\nsuppress = [{ code = "DT101", reason = 1 }]', "reason is no text"),
        ('[tool.analyzer]\nsuppress = [{ code = "mixed-produkt", reason = "x" }]', "did you mean 'mixed-product'?"),
        ('[tool.analyzer]\nsuppress = [{ code = "DT101", modul = "x", reason = "x" }]', "did you mean 'module'?"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "pyproject.toml").write_text(text)
    assert cli.main(["check", str(tmp_path / "model")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err and "pyproject.toml" in err
