"""Attention kernels that a config asks for: their packages are stood in for, as no kernel of theirs runs here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from analyzer.loaders.remote_code.environment import Environment

_PACKAGES: Final = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
"""What transformers calls a kernel -> the package that it is in."""
_HUB: Final = re.compile(r"^kernels-community/(?:\w+-)?flash-attn(\d?)(?:[@:].*)?$")
"""Kernels that the package `kernels` would fetch."""


def lend_named(settings: object, device: str, place: Environment) -> None:
    """Stand in for the packages of kernels that config.json names, before code of the folder asks for them."""
    if device == "cuda" and (package := _PACKAGES.get(_named(settings))):
        place.finder.add(package)


def _named(settings: object) -> str:
    """The kernel that settings or a part of them name."""
    if not isinstance(settings, dict):
        return ""
    found = (settings.get(key) for key in ("_attn_implementation", "attn_implementation"))
    asked = next((one for one in found if isinstance(one, str) and one in _PACKAGES), "")
    return asked or next(filter(None, map(_named, settings.values())), "")


def lend(config: object, device: str, place: Environment) -> None:
    """Let a model with this config be built with the kernels that it asks for, those of packages for a GPU alone."""
    for part in _parts(config):
        asked = getattr(part, "_attn_implementation", None)
        if asked == "flex_attention":
            place.note("flex_attention, which is compiled", "sdpa: of mixed dtypes its words are its own")
            part._attn_implementation = "sdpa"
        if not isinstance(asked, str) or device != "cuda":
            continue  # on a CPU transformers refuses the kernels below with its own words
        if hub := _HUB.match(asked):
            name = f"flash_attention_{hub[1] or 2}"
            if name in _PACKAGES:
                place.note(f"{asked}, which is fetched from a hub", f"{name}, whose contract it has")
                part._attn_implementation = asked = name
        if asked in _PACKAGES:
            place.finder.add(_PACKAGES[asked])


def _parts(config: Any) -> Iterator[Any]:
    yield config
    for key in getattr(config, "sub_configs", None) or ():
        part = getattr(config, key, None)
        if part is not None and not isinstance(part, dict):
            yield from _parts(part)
