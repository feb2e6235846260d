"""A model whose every name tries to break out, through the real command: each file is what its format says it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from analyzer.check import Baseline, Entry
from analyzer.escaping import as_dot, as_json, as_markdown, as_markdown_block, as_sarif
from tests.schemas import validate

ROOT = Path(__file__).parents[2]
NAME = (
    "##vso[x]::error::`a`|\"<b>'%0A\u202e]]>{\\N} @all https://evil.example www.evil.example "
    "~~s~~ *b* _i_ $x$ #1 [a](b)"
)
"""A name of a folder, a module and a class: no slash but in the address, which a folder has not."""
TEXT = NAME + "\x1b[31m\x07\n::error::\r\n```\n</script></details>" + "z" * 300
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
COMMAND = re.compile(r"^\s*::(?!(?:error|warning|notice) [^:]*::)|##\w*\[", re.MULTILINE)
CODE = """
import torch
from torch import nn
EVIL = {evil!r}
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_parameter("w" + EVIL.replace(".", ""), nn.Parameter(torch.ones(4, 4)))
    def forward(self, x):
        return torch.relu(x) @ next(self.parameters())
Block.__name__ = Block.__qualname__ = EVIL
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module(EVIL.replace(".", ""), Block())
    def forward(self, x):
        x = next(self.children())(x.double())
        raise ValueError(EVIL)
Model.__name__ = Model.__qualname__ = EVIL
def build():
    return Model(), {{"x": torch.ones(2, 4)}}
"""


def _harmless(text: str) -> None:
    assert not (found := OBEYED.search(text)), text[max(0, found.start() - 80) : found.end() + 20]
    assert not (command := COMMAND.search(text)), text[max(0, command.start() - 80) : command.end() + 20]


def _analyze(folder: Path, *args: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "60"}
    command = [sys.executable, "-m", "analyzer", *args]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with such a model, all files that a trace and a check of it write, and what was said."""
    top = tmp_path_factory.mktemp("evil")
    place = top / NAME.replace("/", "")
    place.mkdir()
    (place / "model.py").write_text(CODE.format(evil=TEXT))
    files = [part for suffix in ("svg", "html", "dot", "json", "txt") for part in ("--out", f"a.{suffix}")]
    kinds = ("sarif", "github", "gitlab", "junit", "markdown", "json", "text")
    also = [part for kind in kinds for part in ("--also", f"{kind}=b.{kind}")]
    runs = {"trace": files, "check": also, "fix": ["--out", "c.md"]}
    for command, outs in runs.items():
        done = _analyze(top, command, str(place / "model.py"), "--device", "cpu", *outs)
        assert done.returncode == 1 and b"fault" not in done.stderr, done.stderr
        (top / f"{command}.out").write_bytes(done.stdout)
        (top / f"{command}.err").write_bytes(done.stderr)
    outs = [part for suffix in ("md", "svg", "json", "dot") for part in ("--out", f"d.{suffix}")]
    assert _analyze(top, "diff", "a.json", "a.json", *outs).returncode == 2  # it stops early
    return top


def test_no_file_and_no_stream_holds_what_is_obeyed(folder: Path) -> None:
    seen = [file for file in folder.iterdir() if file.is_file()]
    assert len(seen) == 5 + 7 + 1 + 6 + 4
    for file in seen:
        _harmless(file.read_bytes().decode("utf-8"))
    assert all(len(line) <= 300 for file in folder.glob("*.err") for line in file.read_text().splitlines())


def test_xml_and_html_are_read_by_their_parsers(folder: Path) -> None:
    class Tags(HTMLParser):
        scripts, odd = 0, 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.scripts += tag == "script"
            self.odd += tag == "b" or any(name.startswith("on") for name, _ in attrs)

    for name in ("a.svg", "d.svg", "b.junit"):
        root = ET.parse(folder / name).getroot()
        assert not [one for one in root.iter() if one.tag.rpartition("}")[2] in ("script", "b")]
        text = "".join(root.itertext()) + "".join(value for one in root.iter() for value in one.attrib.values())
        assert "</script>" in text
    page = Tags()
    page.feed((folder / "a.html").read_text())
    assert (page.scripts, page.odd) == (1, 0)


def test_json_holds_the_very_words(folder: Path) -> None:
    for name in ("a.json", "b.json", "b.gitlab", "d.json"):
        json.loads((folder / name).read_text())
    said = json.loads((folder / "b.json").read_text())
    assert said["model"]["class"] == TEXT and NAME.replace(".", "") in said["findings"][0]["module"]
    log = json.loads((folder / "b.sarif").read_text())
    validate(log, "sarif-2.1.0")
    (result,) = [one for one in log["runs"][0]["results"] if one["level"] == "error"]
    assert not re.search(r"(?<!\\)\[[^\]]*\]\(", result["message"]["text"])


def test_a_baseline_holds_the_very_words(tmp_path: Path) -> None:
    text = f"{TEXT}\ud800 ü"
    known = Baseline((Entry("DT101", text, text, (text,), text, "error", text, "DT101-key"),))
    (tmp_path / "b.json").write_bytes(known.dump())
    _harmless((tmp_path / "b.json").read_text())
    assert Baseline.read(tmp_path / "b.json") == known and "ü" in (tmp_path / "b.json").read_text()


@pytest.mark.parametrize("name", ["a.dot", "d.dot"])
def test_dot_is_read_by_graphviz(name: str, folder: Path) -> None:
    engine = Path(sysconfig.get_path("scripts")) / "graphviz-pure"
    done = subprocess.run([str(engine), "-Tdot", str(folder / name)], capture_output=True, check=False, text=True)
    assert done.returncode == 0 and not done.stderr


@pytest.mark.parametrize("name", ["b.markdown", "c.md", "d.md"])
def test_markdown_has_no_markup_of_a_name(name: str, folder: Path) -> None:
    text = (folder / name).read_text()
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    inner = [one for token in tokens if token.children for one in token.children]
    kinds = {one.type for one in inner} - {"text", "softbreak", "text_special"}
    assert kinds <= {"strong_open", "strong_close", "html_inline"}
    html = {one.content for one in (*tokens, *inner) if one.type.startswith("html")}
    tags = set(re.findall(r"</?\w+", "".join(html)))
    assert tags <= {"<code", "</code", "<details", "</details", "<summary", "</summary"}
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"https?://evil|www\.evil|@all|\$x|#1\b", outside)


@pytest.mark.parametrize("text", ["http://a.b", "HTTPS://a.b", "ftp://a.b", "www.a.b", "a@b.c", "$a$", "~~a~~", "<a>"])
def test_a_word_of_markdown_is_no_link(text: str) -> None:
    made = as_markdown(f"see {text} there")
    assert not re.search(r"(?i)(https?|ftp)://|www\.|[@$~<]", made)
    (paragraph,) = [one for one in MarkdownIt("commonmark").parse(made) if one.type == "inline"]
    assert "".join(one.content for one in paragraph.children or ()) == f"see {text} there"


@pytest.mark.parametrize("text", ["```", "````\n::error::", "~~~\n```` x", "`" * 40])
def test_a_block_of_markdown_ends_where_it_ends(text: str) -> None:
    tokens = MarkdownIt("commonmark").parse(as_markdown_block(text, "diff") + "\nafter\n")
    assert [one.type for one in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]


@pytest.mark.parametrize("text", ["##vso[a]", "##[error]b", 'x##a[b"', "\u2028\u202e\ud800\x00", "ü 雪"])
@pytest.mark.parametrize("readable", [True, False])
def test_json_reads_back(text: str, readable: bool) -> None:
    made = as_json({text: [text]}, readable=readable)
    assert json.loads(made) == {text: [text]}
    _harmless(made)


@pytest.mark.parametrize(("text", "linked"), [("[a](http://b)", True), ("[[a](b)", True), ("at [1, 2] (x)", False)])
def test_a_message_of_sarif_is_no_link(text: str, linked: bool) -> None:
    assert (as_sarif(text) != text) is linked and as_sarif(text).replace("\\[", "[") == text


@pytest.mark.parametrize("text", ["<b>x</b>", '"; a -> b; "', "\\N\\G\\l", "a\n\nb", "{|}", "&lt;", "##vso[x]"])
def test_a_label_of_dot_is_drawn_as_it_is(text: str) -> None:
    import graphviz

    from analyzer.render.svg import layout

    graph = graphviz.Digraph()
    graph.node("n", as_dot(text))
    drawn = ET.fromstring(layout(graph.source.encode(), "svg"))
    lines = [one.text or "" for one in drawn.iter() if one.tag.endswith("}text")]
    expected = text.replace("##", "#\\x23").split("\n")
    assert [line.strip("\u200b") for line in lines if line.strip("\u200b\xa0 ")] == [line for line in expected if line]
