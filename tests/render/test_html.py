"""The page: whole in itself, the same bytes every time, small for any model, and used in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from analyzer.ir.findings import Assumption, Coverage, Finding
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.ir.text import parse_graph
from analyzer.picture import Look
from analyzer.render import html
from tests.render.models import MESSAGE, report, seed

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
EVIL = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'"


def _evil() -> bytes:
    graph = parse_graph(
        f"x = input : bf16[2]  @ {EVIL!r}\np = parameter : f32[2]  @ {'m.' + EVIL!r}  ? {EVIL!r}\n"
        f"y = mm(x, p) : bf16[2]  @ {EVIL + '.q'!r}  # {EVIL + ':3'!r}  / {EVIL!r}  => bfloat16  ! {EVIL!r}\nreturn y"
    )
    finding = Finding("DT101", EVIL, "error", EVIL, "aten.mm.default", EVIL, EVIL, EVIL, 3, ("y",))
    made = report(Flow.as_captured(graph, Plan(notes=(EVIL,), read=(EVIL,))), (finding,))
    object.__setattr__(made, "coverage", Coverage(1, (Assumption(EVIL, EVIL, EVIL, 1),), EVIL))
    return html.render(made.seen(Look(link_base="https://host/a\"b'c")))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _tags(page: bytes) -> list[tuple[str, dict[str, str | None]]]:
    reader = _Reader()
    reader.feed(page.decode())
    return reader.tags


def test_every_jump_has_its_place_and_every_id_is_one() -> None:
    tags = _tags(html.render(report(*seed())))
    ids = [attrs["id"] for _, attrs in tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    jumps = {value for _, attrs in tags for key, value in attrs.items() if key.endswith("href") and value}
    assert len(jumps) > 10
    assert {jump.removeprefix("#") for jump in jumps} <= set(ids)


def test_the_findings_of_every_stage_are_listed_and_those_of_the_worst_are_drawn() -> None:
    train, evaluate = report(*seed()), report(seed()[0], seed()[1][1:])
    both = replace(train, plan=Plan(stage="train"), others=(replace(evaluate, plan=Plan(stage="eval")),))
    tags = _tags(html.render(both))
    ids = [attrs["id"] for _, attrs in tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    assert {"finding1", "finding2", "evalfinding1"} <= set(ids)
    assert {attrs["id"] for _, attrs in tags if "data-story" in attrs} == {"finding1", "finding2"}


def test_names_are_text_only() -> None:
    tags = _tags(_evil())
    assert [tag for tag, _ in tags].count("script") == 1
    assert not any(tag == "img" or any(key.startswith("on") for key in attrs) for tag, attrs in tags)


def test_nothing_is_fetched() -> None:
    tags = _tags(html.render(report(*seed())))
    assert not any("src" in attrs or tag in ("link", "iframe", "object") for tag, attrs in tags)
    script = html._asset("page.js")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|fetch\(|eval\(|import\(", script)


def test_lines_are_links_where_a_base_is_given() -> None:
    linked = html.render(report(*seed()).seen(Look(link_base="https://host/m")))
    assert b'href="https://host/m/resampler.py#L158"' in linked
    assert b"https://host" not in html.render(report(*seed()))


def test_the_page_of_a_model_that_cannot_be_folded_stays_under_five_megabytes() -> None:
    lines = "".join(f"y{i} = exp(x) : f32[{i}]  @ model.layers.{i}.some_long_name\n" for i in range(10_000))
    fault = f"m = mm(x, z) : bf16[1]  @ model.last.one  => bfloat16  ! {MESSAGE}\n"
    graph = parse_graph("x = input : f32[1]\nz = input : bf16[1]\n" + lines + fault)
    finding = Finding("DT101", "mixed-product", "error", MESSAGE, "aten.mm.default", "", "", "", 0, ("m",))
    page = html.render(report(Flow.as_captured(graph, Plan()), (finding,)))
    assert len(page) < 5_000_000
    assert page.count(b"more operations are not listed") == 1 and MESSAGE.encode() in page.rpartition(b'id="row')[2]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("this machine has no Chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """A function that opens a page; afterwards nothing was fetched, nothing went wrong."""
    said: list[str] = []
    pages = []

    def _open(data: bytes, **context: Any) -> Any:
        file = tmp_path / "report.html"
        file.write_bytes(data)
        page = browser.new_page(**context)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(file.as_uri()) else said.append(asked.url))
        page.goto(file.as_uri())
        pages.append(page)
        return page

    yield _open
    for page in pages:
        page.close()
    assert said == []


def test_a_finding_jumps_to_its_place_in_the_tree(opened: Any) -> None:
    page = opened(html.render(report(*seed())))
    row = page.locator("#modules .row", has_text="addmm")
    assert not row.is_visible()
    page.get_by_role("link", name="#1 error DT101").click()
    row.wait_for(state="visible")
    assert "here" in row.get_attribute("class") and row.evaluate("e => e === document.activeElement")
    box = row.bounding_box()
    assert 0 < box["y"] < page.viewport_size["height"]


def test_a_box_of_the_picture_opens_its_module(opened: Any) -> None:
    page = opened(html.render(report(*seed())))
    module = page.locator("#modules details", has=page.locator(":scope > summary", has_text="blocks.0-25"))
    assert not module.evaluate("e => e.open")
    page.locator(".picture a", has_text="blocks.0").click()
    page.wait_for_function("document.activeElement.textContent.startsWith('blocks.0-25')")
    assert module.evaluate("e => e.open")


def test_search_shows_what_contains_every_word_and_its_modules(opened: Any) -> None:
    page = opened(html.render(report(*seed())))
    page.keyboard.press("/")
    page.keyboard.type("Add. f32")
    shown = page.locator("#modules .row:visible").all_text_contents()
    assert len(shown) == 1 and "add.Tensor" in shown[0] and "f32" in shown[0]
    assert page.locator("#hits").text_content().startswith("1 of ")
    page.keyboard.press("Escape")
    assert page.locator("#hits").text_content() == ""
    assert page.locator("#modules .missing").count() == 0


def test_only_what_mixes_is_shown_if_asked(opened: Any) -> None:
    page = opened(html.render(report(*seed())))
    page.get_by_label("only what mixes").check()
    rows = page.locator("#modules .row:visible").all_text_contents()
    assert {re.split(r" |bf16|f32", row.removeprefix("parameter "))[0] for row in rows} >= {"resampler.pos_embed"}
    assert any("addmm" in row for row in rows) and not any("softmax" in row for row in rows)


def test_the_way_of_a_fault_lights_up_under_the_pointer_and_under_the_focus(opened: Any) -> None:
    page = opened(html.render(report(*seed())))
    lit = ".picture svg.lit .on"
    page.hover("#finding1")
    assert page.locator(lit).count() == 5  # three boxes, two lines
    page.hover("h1")
    assert page.locator(lit).count() == 0
    page.get_by_role("link", name="#1 error DT101").focus()
    assert page.locator(lit).count() == 5


def test_all_can_be_reached_by_keyboard(opened: Any) -> None:
    page = opened(html.render(report(*seed())))
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("(e => e.id || e.tagName)(document.activeElement)"))
    assert {"search", "only", "a", "A", "SUMMARY"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened: Any, scheme: str) -> None:
    page = opened(html.render(report(*seed())), color_scheme=scheme)
    page.get_by_role("link", name="#1 error DT101").click()
    for selector in ("h1", ".quiet", ".finding p", ".severity", ".here", ".d", "nav label", "a"):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector


CONTRAST = """selector => {
  const light = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(selector);
  let ground = element;
  while (/rgba\\(.*, 0\\)/.test(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def test_names_do_nothing_in_a_browser(opened: Any) -> None:
    page = opened(_evil())
    page.get_by_role("link", name="#1 error DT101").click()
    assert page.evaluate("window.hacked") is None
    assert page.locator("#modules").get_by_text("<script>window.hacked=1</script>").count() > 0


def test_the_page_of_a_run_that_stopped_says_where_and_what_was_not_reached(opened: Any) -> None:
    stop = "end = run.stopped(y) : ()  @ a  # m.py:12  ? 'KeyError: <q>'"
    graph = parse_graph(f"x = input : bf16[2]  @ x\ny = relu(x) : bf16[2]  @ a.b\n{stop}")
    made = replace(report(Flow.as_captured(graph, Plan()), ()), coverage=Coverage(1, (), "KeyError: <q> at m.py:12"))
    page = opened(html.render(made))
    assert "partial verdict, the run stopped early: nothing found so far" in page.locator("h1").text_content()
    assert page.get_by_text("Partial verdict: the run stopped early.").is_visible()
    assert not page.get_by_text("No precision fault found").count()
    assert "KeyError: <q> (m.py:12)" in page.locator(".picture svg").text_content().replace("\n", " ")
    page.keyboard.press("/")
    page.keyboard.type("keyerror")
    assert page.locator("#modules .row:visible").count() == 1
    assert page.get_by_role("listitem").get_by_text("incomplete: KeyError: <q> at m.py:12").is_visible()


def test_the_page_of_many_operations_opens_soon(opened: Any) -> None:
    lines = "".join(f"y{i} = exp(x) : f32[{i}]  @ model.layers.{i // 40}.part\n" for i in range(7_000))
    page = opened(html.render(report(Flow.as_captured(parse_graph("x = input : f32[1]\n" + lines), Plan()), ())))
    took = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert took < 4000  # milliseconds; two seconds on a quiet machine
    assert page.locator("#modules details").first.is_visible()
