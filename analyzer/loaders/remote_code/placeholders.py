"""Finds what stands for an image or a sound in a text: what a processor says itself, or what its source looks for."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any, Final

_KINDS: Final = ("image", "img", "audio", "sound")
_MARK: Final = re.compile(r"[<\[(]")
_COMMON: Final = ("<image>", "<|image_1|>", "<|image|>", "<|audio|>", "<audio>")
_MOST: Final = 12
_TASK: Final = "What is this?"
_ESCAPES: Final = ((r"\d+", "1"), (r"\d", "1"), ("\\", ""), ("+", ""), ("?", ""))
"""What a regular expression has in the place of what it finds."""


def prompts(processor: Any, cls: type) -> Iterator[str]:
    """Texts to try: with each placeholder that was found, the likeliest first, and at last without any."""
    held = [value for value in _texts(processor) if isinstance(value, str)]
    seen: dict[str, None] = {}
    for text in (*held, *_in_source(cls), *_COMMON):
        if _MARK.search(text) and any(kind in text.lower() for kind in _KINDS) and len(text) <= 40:
            seen.setdefault(text)
    for text in list(seen)[:_MOST]:
        yield f"{text}\n{_TASK}"
    yield _TASK


def _texts(processor: Any) -> Iterator[object]:
    """Values of a processor and its tokenizer that are called placeholders or tokens of an image or a sound."""
    for one in (processor, getattr(processor, "tokenizer", None)):
        for name, value in vars(one).items() if hasattr(one, "__dict__") else ():
            if any(word in name for word in ("placeholder", "image_token", "audio_token", "img_token")):
                yield from value[:1] if isinstance(value, list) else [value]


def _in_source(cls: type) -> Iterator[str]:
    """Text that the source of a class's module compares, or looks for by a regular expression."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[cls.__module__]))
    except (OSError, TypeError, SyntaxError, KeyError):
        return
    docs = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docs:
            text = node.value
            for pattern, found in _ESCAPES if "\\" in text else ():
                text = text.replace(pattern, found)
            yield text
