"""Keeps libraries from fetching while a model is traced, and no longer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from analyzer.capture.patching import patched, reset

_VARIABLES: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_FLAGS: Final = (
    ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
    ("transformers.utils.hub", "_is_offline_mode"),
    ("diffusers.utils.hub_utils", "HF_HUB_OFFLINE"),
)
"""(module, flag): what libraries made of these variables when they were imported."""
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})


@contextmanager
def offline() -> Iterator[None]:
    """While this lasts nothing is fetched, whether the libraries are imported already, during this, or never."""
    with ExitStack() as stack:
        stack.callback(_read_again, [flag for flag in _FLAGS if flag[0] not in sys.modules])
        why = "Nothing is ever fetched."
        for name in _VARIABLES:
            stack.enter_context(
                patched(os.environ, name, "1", what="os.environ: HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE", why=why)
            )
        for module, name in _FLAGS:
            if hasattr(sys.modules.get(module), name):
                stack.enter_context(
                    patched(
                        sys.modules[module], name, True,
                        what="the flags that huggingface_hub, transformers and diffusers make of these variables",
                        why=why,
                    )
                )  # fmt: skip
        yield


def _read_again(imported: Sequence[tuple[str, str]]) -> None:
    """Set the flags of libraries that were imported meanwhile to what the variables say now."""
    meant = any(os.environ.get(name, "").upper() in _TRUE for name in _VARIABLES)
    for module, name in imported:
        if hasattr(sys.modules.get(module), name):
            reset(
                sys.modules[module], name, meant,
                what="the flags of libraries that were imported while nothing was fetched",
                why="After the trace they are what they would be without it.",
            )  # fmt: skip
