"""Which texts of a config a library takes for regular expressions, and in which form it matches them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.loaders.limits.backtracking import slow

_WHOLE: Final = ("{}",)
_SUFFIX: Final = (r"(.*\.)?({})$", r".*\.{}$")
_KNOWN: Final = {
    "target_modules": _WHOLE,
    "exclude_modules": _WHOLE,
    "feedforward_modules": _WHOLE,
    "layers_pattern": (r"(?:^|.*?\.){}\.(?P<idx>\d+)\.", r".*\.{}\.(\d+)\."),
    "modules_to_save": (r"(^|.*\.){}($|\..*)",),
    "target_parameters": _SUFFIX,
    "rank_pattern": _SUFFIX,
    "alpha_pattern": _SUFFIX,
    "n_frequency_pattern": _SUFFIX,
    "block_size_pattern": _SUFFIX,
    "target_svd_config": _WHOLE,
}
"""Key of a PEFT adapter -> how peft, old and new, puts its text, its entries or their names into a pattern."""
_QUANTISED: Final = ("quantization_config", "compression_config", "quantization")
_BOUNDED: Final = ("{}", r"(?:{})(\.|$)")
"""How transformers, compressed-tensors, GPTQModel and torchao match the names in a config of a quantizer."""
_MARKS: Final = ("re:", "+:", "-:")
"""What such a name may begin with, to say that it is a pattern, or whether it is left out."""
_MOST: Final = 2_000
"""Patterns of one config. Each is tried on each module, and Python keeps 512 compiled; the most found are 283."""


def check_patterns(file: Path | str, settings: object) -> None:
    """Raise AnalyzerError if a pattern in the file can keep Python's matcher busy, or there are too many."""
    found = dict.fromkeys(_patterns(settings, ""))
    if len(found) > _MOST:
        said = f"{file} has {len(found):,} names and patterns of modules; more than {_MOST:,} are not matched"
        raise AnalyzerError(said, hint="each is tried on each module")
    for where, text, forms in found:
        if why := next(filter(None, (_slow(form.replace("{}", text)) for form in forms)), ""):
            shown = text if len(text) <= 40 else f"{text[:40]}..."
            raise AnalyzerError(f"{file}: the pattern {shown!r} of {where[:60]} is not matched", hint=f"it {why}")


_slow: Final = lru_cache(maxsize=1024)(slow)


def _patterns(value: object, path: str) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Where each pattern stands, its text, and the forms in which it is matched."""
    if not isinstance(value, Mapping):
        return
    for name, one in value.items():
        where = f"{path}{name}"
        if name in _KNOWN:
            listed = name in ("layers_pattern", "modules_to_save", "target_parameters")
            yield from ((where, text, _KNOWN[name]) for text in _named(one, listed=listed))
        elif name in _QUANTISED:
            yield from ((where, _unmarked(text), _BOUNDED) for text in _texts(one))
        else:
            yield from _patterns(one, f"{where}.")


def _named(value: object, *, listed: bool) -> Iterator[str]:
    """A text, the names of a mapping, and the entries of a list where these are patterns as well."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from map(str, value)
    elif isinstance(value, list) and listed:
        yield from (one for one in value if isinstance(one, str))


def _texts(value: object) -> Iterator[str]:
    """Every text in a value, the names of its mappings included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield str(name)
            yield from _texts(one)


def _unmarked(text: str) -> str:
    return next((text[len(mark) :] for mark in _MARKS if text.startswith(mark)), text)
