"""Formats of a check: a name, and the pure function that turns a judgement into bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from analyzer.check import Check
from analyzer.render.check import github, gitlab, json, junit, markdown, sarif, text

FORMATS: Final[dict[str, Callable[[Check], bytes]]] = {
    "text": text.render,
    "sarif": sarif.render,
    "github": github.render,
    "gitlab": gitlab.render,
    "junit": junit.render,
    "markdown": markdown.render,
    "json": json.render,
}
