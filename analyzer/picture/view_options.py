"""How a person wants the picture: the part to look at, and where source lines can be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Final
from urllib.parse import quote

from analyzer.errors import AnalyzerError
from analyzer.ir.graph import Place

LIBRARIES: Final = {
    "torch": "https://github.com/pytorch/pytorch/blob/v{version}/{file}",
    "transformers": "https://github.com/huggingface/transformers/blob/v{version}/src/{file}",
}
"""Where the lines of a library stand, whose version a report knows; those of other installed packages get no link."""
PACKAGES: Final = ("accelerate", "deepspeed", "diffusers", "peft", "sentence_transformers", "timm", "bitsandbytes")


@dataclass(frozen=True, slots=True)
class Look:
    """What to draw: the overview, or the neighbourhood of a module or of one finding, operation by operation."""

    focus: str = ""
    """Path of the module to look at; "" is the whole model."""
    finding: int = 0
    """Number of the finding to look at, from 1 in the report's order; 0 is all."""
    link_base: str = ""
    """Address of the model's folder, to which `/file#L12` is added; "" makes no links."""

    def __post_init__(self) -> None:
        scheme = self.link_base.partition(":")[0] if ":" in self.link_base else ""
        if scheme not in ("", "http", "https"):
            raise AnalyzerError(f"no link can begin with '{scheme}:'", hint="give an address, https://host/model")
        if self.focus and self.finding:
            raise AnalyzerError("--focus and --finding exclude each other", hint="give one of them")
        if self.finding < 0:
            raise AnalyzerError(f"there is no finding {self.finding}", hint="findings are numbered from 1")

    def href(self, place: Place, versions: Mapping[str, str]) -> str:
        """The address of a source line; "" where there is none.

        >>> Look(link_base="https://host/model/").href(Place("a b.py", 3), {})
        'https://host/model/a%20b.py#L3'
        """
        first = place.file.partition("/")[0]
        absolute = place.file.startswith(("/", "<")) or PureWindowsPath(place.file).is_absolute()
        if not (self.link_base and place.file) or absolute or first in PACKAGES:
            return ""
        if first in LIBRARIES and first in versions:
            version = versions[first].partition("+")[0]
            return f"{LIBRARIES[first].format(version=version, file=quote(place.file))}#L{place.line}"
        return f"{self.link_base.rstrip('/')}/{quote(place.file)}#L{place.line}"


PLAIN: Final = Look()
"""All of it, without links."""
