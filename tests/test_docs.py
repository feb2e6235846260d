"""The documentation builds strictly, and has a page for every rule and the help of every command."""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from inspect import getdoc
from pathlib import Path

import pytest

import analyzer
from analyzer.cli import cli
from analyzer.cli.explain import rule_pages

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_rule_has_its_page(site: Path) -> None:
    assert {path.stem.upper() for path in (site / "rules").glob("dt*.html")} == {code for code, _ in rule_pages()}


def test_the_help_of_every_command_is_in_the_reference(site: Path) -> None:
    text = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<h2 id="analyze-(\w+)"', text)) == set(cli.commands)


def test_the_python_interface_is_in_the_reference_with_its_docstrings(site: Path) -> None:
    text = unescape((site / "reference" / "python.html").read_text(encoding="utf-8"))
    for name in set(analyzer.__all__) - {"__version__"}:
        first = (getdoc(getattr(analyzer, name)) or "").splitlines()[0]
        assert f">analyzer.{name}<" in text and first and re.sub(r"`([^`]*)`", r"<code>\1</code>", first) in text


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(re.findall(r": ([\w-]+\.md)$", menu, re.M))


def test_no_link_or_picture_leads_nowhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:", "mailto:")):
                assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_the_gallery_shows_what_lies_in_its_folder() -> None:
    shown = set(re.findall(r"\(gallery/([\w-]+\.svg)\)", (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")))
    assert shown == {path.name for path in (ROOT / "docs" / "gallery").glob("*.svg")} != set()
