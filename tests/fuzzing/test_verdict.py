"""The fuzzer must see every failure that it is there for, put equal ones together, and do the same twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.fuzzing import page
from tests.fuzzing.failures import Results, result
from tests.fuzzing.inputs import Input, Seed
from tests.fuzzing.laws import trees
from tests.fuzzing.mutating import mutate
from tests.fuzzing.verdict import Bounds, Seen, judge, snapshot

BOUNDS = Bounds(30.0, 2 << 30)
CLEAN = Seen(0, "no findings\n", "", 1.0, front=100 << 20, worker=500 << 20)
REFUSED = replace(CLEAN, code=2, out="", err="analyze: model/config.json is no JSON (save it again)\n")
TRACEBACK = """Traceback (most recent call last):
  File "/x/analyzer/loaders/classes.py", line 7, in find
    return table[key]
  File "/x/lib/python3.11/json/decoder.py", line 353, in raw_decode
    raise
KeyError: {key}
"""
SOUND = [
    (CLEAN, "clean"),
    (replace(CLEAN, code=1), "findings"),
    (REFUSED, "refused"),
    (replace(REFUSED, err=f"analyze: not confined: Linux 4\n{REFUSED.err}"), "refused"),
    (replace(REFUSED, err="analyze: stopped after 10 s (--deadline)\n"), "deadline"),
    (replace(REFUSED, err="analyze: stopped: it needs more than 2 GB of memory (--max-memory)\n"), "memory"),
    (replace(CLEAN, code=1, out="::error file=x::y\n", for_ci=True), "findings"),
    (replace(CLEAN, outputs={"r.json": b"{}", "g.svg": b"<svg/>", "x.txt": b"\xff"}), "clean"),
]
FAULTS = [
    (replace(CLEAN, ran=True), "marker"),
    (replace(CLEAN, timely=False, code=-9), "hang"),
    (replace(REFUSED, seconds=31.0), "hang"),
    (replace(CLEAN, stayed=True), "hang"),
    (replace(CLEAN, code=-11), "crash"),
    (replace(REFUSED, err="analyze: the process that traces was ended by SIGSEGV\n"), "crash"),
    (replace(REFUSED, err="analyze: unexpected KeyError: 'a' (a fault in analyze; run again with --debug)\n"), "error"),
    (replace(REFUSED, err=TRACEBACK), "error"),
    (replace(CLEAN, code=3), "exit code"),
    (replace(CLEAN, code=99), "exit code"),
    (replace(CLEAN, worker=4 << 30), "memory"),
    (replace(CLEAN, front=3 << 30), "memory"),
    (replace(CLEAN, changed=("model/x",)), "outside"),
    (replace(CLEAN, left=("/tmp/torchinductor_x",)), "outside"),
    (replace(REFUSED, err=""), "lines"),
    (replace(REFUSED, err=f"{REFUSED.err}{REFUSED.err}"), "lines"),
    (replace(CLEAN, err="UserWarning: something\n"), "lines"),
    (replace(REFUSED, err=f"analyze: {'x' * 400}\n"), "long line"),
    (replace(REFUSED, err=f"analyze: x ({'x' * 2000})\n"), "long line"),
    (replace(REFUSED, err="analyze: \x1b[31mred\n"), "characters"),
    (replace(CLEAN, out="a \u202e b\n"), "characters"),
    (replace(CLEAN, out="  ::error::x\n"), "characters"),
    (replace(CLEAN, outputs={"r.json": b"{"}), "output"),
    (replace(CLEAN, outputs={"g.svg": b"<svg>\x01</svg>"}), "output"),
]


@pytest.mark.parametrize(("seen", "outcome"), SOUND)
def test_what_may_happen(seen: Seen, outcome: str) -> None:
    assert judge(seen, BOUNDS).outcome == outcome


@pytest.mark.parametrize(("seen", "fault"), FAULTS)
def test_what_may_not(seen: Seen, fault: str) -> None:
    verdict = judge(seen, BOUNDS)
    assert verdict.fault and verdict.outcome == f"FAULT {fault}" and verdict.words


def test_a_change_in_a_folder_shows(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = snapshot(tmp_path)
    assert snapshot(tmp_path) == before
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "link").symlink_to("nowhere")
    assert {entry[0] for entry in snapshot(tmp_path) ^ before} == {"sub", "sub/link"}


def test_failures_with_one_cause_are_counted_together_and_kept(tmp_path: Path) -> None:
    results = Results()
    for number, key in enumerate(("'a'", "'b'")):
        one = Input(f"config:{number}", "llama", {}, ("trace", "model"), ("gone",))
        seen = replace(REFUSED, err=FAULTS[6][0].err, traceback=TRACEBACK.replace("{key}", key))
        results.add(result(one, seen, judge(seen, BOUNDS)), 7)
    ((cause, group),) = results.ranked()
    assert cause == "FAULT error: KeyError at analyzer/loaders/classes.py:7 find"
    assert group.count == results.faults == 2 and "--seed 7 --only config:1" in group.examples[1]
    assert list(group.last) == ["json/decoder.py:353 raw_decode"]
    results.reached["7 config"] = 2
    results.save(tmp_path / "r.json")
    assert Results.read(tmp_path / "r.json") == results


def test_the_page_keeps_what_is_around_the_table(tmp_path: Path) -> None:
    results, file = Results(), tmp_path / "security.md"
    page.write(results, file)
    file.write_text("# Mine\n" + file.read_text().partition("\n")[2] + "after\n")
    for outcome in ("clean", "FAULT hang"):
        results.outcomes["config"] = {**results.outcomes.get("config", {}), outcome: 3}  # type: ignore[assignment]
    page.write(results, file)
    text = file.read_text()
    assert text.startswith("# Mine\n") and text.endswith("after\n") and text.count("| **all** |") == 1
    assert "| config | 6 | 3 | 0 | 0 | 0 | 0 | 3 |" in text


def test_the_same_numbers_make_the_same_input() -> None:
    files = {"model/config.json": b'{"a": 1, "b": [2, {"c": "x"}]}', "recipe.yaml": b"a: 1\nb: [c]\n"}
    one = Seed(files, ("trace", "model"))
    twice = [[mutate("x", one, 3, "config", number) for number in range(100)] for _ in range(2)]
    assert twice[0] == twice[1]
    assert len({str(sorted(made.files.items(), key=str)) for made in twice[0]}) > 75
    assert all(made.trail for made in twice[0])


def test_json_that_no_library_writes() -> None:
    random = Random(0)
    texts = [trees.written(trees.changed({"a": [1, {"b": "c"}]}, random, [])) for _ in range(1200)]
    for part in (b"1e999", b"NaN", b"\\ud800", b"[" * 1000, b'{"a":1,"a":2}', b"0" * 400, b"tru"):
        assert any(part in text for text in texts), part
    assert sum(trees.read(text) is not None for text in texts) > 800
