"""Formats: the picture names the fault, any name can be drawn, bytes are the same every time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.ir.text import parse_graph
from analyzer.render import FORMATS, renderer, svg
from analyzer.render.palette import TINTS, tint
from tests.render.models import MESSAGE, report, seed

STARTS = {
    ".svg": b"<?xml",
    ".dot": b"digraph",
    ".html": b"<!DOCTYPE html>",
    ".png": b"\x89PNG",
    ".pdf": b"%PDF",
    ".json": b"{",
    ".txt": b"pixel",
}
BAD = ['a"b', "a\\", "<b>", "a\nb", "&amp;", "\\N", "a:b", "\x00\x1b", "ü→", "<<b>", "]]>", "\ud800", "node", 'a\\"b']


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_has_its_own_bytes_twice_the_same(suffix: str) -> None:
    first = FORMATS[suffix](report(*seed()))
    if suffix == ".pdf":
        time.sleep(1.1)
    second = FORMATS[suffix](report(*seed()))
    assert first.startswith(STARTS[suffix])
    assert first == second


def test_the_svg_says_what_is_wrong_and_where() -> None:
    root = ElementTree.fromstring(FORMATS[".svg"](report(*seed())))
    groups = {g.get("class"): "".join(g.itertext()) for g in root.iter("{http://www.w3.org/2000/svg}g")}
    fault = groups["node op finding error DT101 story1"]
    assert "expected m1 and m2" in fault
    titles = {value for e in root.iter() for key, value in e.attrib.items() if key.endswith("title")}
    assert any("resampler.py:158" in title for title in titles)
    assert "f32 -> bf16" in groups["edge link story1 mixed"]
    assert "3 bf16, 1 f32: resampler.pos_embed" in groups["graph"]


def test_dtype_is_never_told_by_colour_alone() -> None:
    text = FORMATS[".dot"](report(*seed())).decode()
    assert "resampler.pos_embed\\nparameter f32" in text
    kinds = ("bfloat16", "float16", "float32", "float64", "int64", "complex64", "float8_e4m3fn")
    assert len({tint(d) for d in kinds}) == len(kinds)
    assert all(len({t.pale, t.full, t.line}) == 3 for t in TINTS.values())


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("suffix", [".svg", ".html", ".pdf", ".json", ".txt"])
def test_any_name_can_be_drawn(name: str, suffix: str) -> None:
    graph = parse_graph(
        f"x = input : bf16[2]  @ {name!r}\np = parameter : f32[2]  @ {name + '.' + name!r}  ? {name!r}\n"
        f"y = mm(x, p) : bf16[2]  @ {name + '.' + name!r}  # {name + ':3'!r}  / {name!r}  => bfloat16  ! {name!r}\n"
        f"z = relu(y) : bf16[2]  @ {name + '.q.r.s'!r}\nreturn z"
    )
    finding = Finding("DT101", "x", "error", name, "aten.mm.default", name, name, name, 3, ("y",))
    data = FORMATS[suffix](report(Flow.as_captured(graph, Plan()), (finding,)))
    if suffix == ".svg":
        ElementTree.fromstring(data)
    if suffix == ".json":
        json.loads(data.decode("utf-8", "surrogatepass"))


def test_text_is_shown_as_it_is() -> None:
    graph = parse_graph("x = input : f32[2]  @ '<b>\\\\N&lt;'")
    root = ElementTree.fromstring(FORMATS[".svg"](report(Flow.as_captured(graph, Plan()), ())))
    assert "<b>\\N&lt;" in {e.text for e in root.iter()}


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import sys; from analyzer.render import FORMATS; from tests.render.models import report, seed\n"
        "for s in ('.dot', '.svg', '.html', '.json', '.txt'): sys.stdout.buffer.write(FORMATS[s](report(*seed())))"
    )
    top = str(Path(__file__).parents[2])
    made = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=top,
            env={**os.environ, "PYTHONHASHSEED": n},
            capture_output=True,
            check=True,
        ).stdout
        for n in ("1", "2")
    }
    assert len(made) == 1


def test_no_system_program_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert FORMATS[".svg"](report(*seed())) and FORMATS[".pdf"](report(*seed()))


def test_an_unknown_suffix_names_the_known_ones() -> None:
    with pytest.raises(
        AnalyzerError, match=r"no output format for '.bmp' .*\.svg, \.html, \.dot, \.png, \.pdf, \.json, \.txt"
    ):
        renderer(".bmp")


HEAVY = b"digraph {" + b"".join(b"a%d -> b%d;" % (i, i * 7 % 300) for i in range(300)) + b"}"


def test_a_layout_that_fails_or_takes_too_long_is_told() -> None:
    for kind in ("svg", "pdf"):
        with pytest.raises(AnalyzerError, match="layout of the picture failed"):
            svg.layout(b"digraph {", kind)
        with pytest.raises(AnalyzerError, match=r"took longer than 0[.]001 s"):
            svg.layout(HEAVY, kind, limit=0.001)


def test_the_kernels_message_is_in_the_text_form() -> None:
    assert f"! {MESSAGE}" in FORMATS[".txt"](report(*seed())).decode()
