"""The functions of torch that a script may call: `python -m tests.render.torch_functions` adds those of its torch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import torch
from torch.overrides import get_overridable_functions, resolve_name

import analyzer
from analyzer.render.script_lines import functions

FILE: Final = Path(analyzer.__file__).parent / "render" / "torch_functions.txt"
NEVER: Final = {"torch.from_file", "torch._from_blob"}
"""What opens a file, or any memory."""


def names() -> set[str]:
    """What modes see of torch, and its native functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = {resolve_name(one) for some in get_overridable_functions().values() for one in some} - {None}
        natives = {"torch": torch._C._VariableFunctions, "torch.nn.functional": torch._C._nn}
        homes = {"torch": torch, "torch.nn.functional": torch.nn.functional}
        native = {
            f"{home}.{name}"
            for home, source in natives.items()
            for name in dir(source)
            if not name.startswith("__") and callable(getattr(homes[home], name, None))
        }
    return {name for name in seen | native if name} - NEVER


if __name__ == "__main__":
    FILE.write_text("".join(f"{name}\n" for name in sorted(functions() | names())))
