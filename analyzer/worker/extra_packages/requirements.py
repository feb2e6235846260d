"""What may be asked for: the name of a package and its releases, never an option, a file or an address."""

from __future__ import annotations

import re
from typing import Final

from analyzer.errors import AnalyzerError

_LONGEST: Final = 200
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_VERSIONS: Final = r"(?:===?|~=|!=|<=|>=|<|>) ?[A-Za-z0-9][A-Za-z0-9._+!-]*(?:\.\*)?"
_WHOLE: Final = re.compile(
    rf"({_NAME}) ?(\[{_NAME}(?: ?, ?{_NAME})*\])? ?({_VERSIONS}(?: ?, ?{_VERSIONS})*)?", re.ASCII
)
_HINT: Final = "a package and its release, such as --with 'transformers==4.48.3'"


def parse_requirement(text: str) -> str:
    """A requirement in its plain form. Raises AnalyzerError for what is none, and for torch.

    >>> parse_requirement(" Flash_Attn >= 2, <3 ")
    'flash-attn>=2,<3'
    """
    plain = " ".join(text.split())
    found = _WHOLE.fullmatch(plain) if len(plain) <= _LONGEST else None
    if found is None:
        raise AnalyzerError(f"--with '{plain[:_LONGEST]}' names no package", hint=_HINT)
    name, extras, releases = found.group(1), found.group(2) or "", found.group(3) or ""
    name = re.sub(r"[._-]+", "-", name).lower()
    if name == "torch":
        hint = "for another torch make an environment, and name it with --python"
        raise AnalyzerError("--with takes no torch: the interpreter's own is used", hint=hint)
    return f"{name}{extras}{releases}".replace(" ", "")
