"""Pages of figures that keep one part for each version of what they measure."""

from __future__ import annotations

import re


def placed(page: str, part: str) -> str:
    """The page with one more part, in the place of an older one with the same heading; newest version first.

    A part begins with a heading like `## torch 2.13.0: models`.
    """
    head = part.split("\n", 1)[0]
    intro, *old = re.split(r"(?m)^(?=## \w+ [\d.]+: )", page)
    kept = [text.rstrip() + "\n" for text in old if text.split("\n", 1)[0] != head]
    return "\n".join([intro.rstrip() + "\n", *sorted([*kept, part.rstrip() + "\n"], key=_order)])


def _order(part: str) -> tuple[list[int], str]:
    version, name = re.match(r"## \w+ ([\d.]+): (.*)", part).groups()  # type: ignore[union-attr]
    return [-int(number) for number in version.split(".")], name
