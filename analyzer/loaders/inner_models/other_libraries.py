"""Answers what other libraries than transformers load by name: timm without weights; GitHub is named."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

import torch

from analyzer.capture.patching import patched
from analyzer.errors import AnalyzerError
from analyzer.foreign import is_file, is_folder
from analyzer.loaders.remote_code.environment import Environment

_FILES: Final = 100
"""Files of code that are looked at."""
_FETCHES: Final = ("load", "load_state_dict_from_url", "download_url_to_file")
_HINT: Final = "nothing is fetched: clone it, and let the code name the folder with source='local'"
_NO_WEIGHTS: Final = "nothing is fetched: let the constructor make the modules, and leave the weights to loading"


def name_github(place: Environment) -> None:
    """Let what torch would fetch be refused by its name; a folder on disk is loaded."""
    why = "What would be fetched is named."
    for name in _FETCHES:
        refusing = _refusing(getattr(torch.hub, name), name)
        what = "torch.hub.load, torch.hub.load_state_dict_from_url, torch.hub.download_url_to_file"
        place.stack.enter_context(patched(torch.hub, name, refusing, what=what, why=why))


def answer_timm(place: Environment) -> None:
    """Let `timm.create_model(pretrained=True)` make the same model without its weights, where timm is there."""
    if find_spec("timm") is None:
        return
    with suppress(ImportError):
        builder = import_module("timm.models._builder")
        why = "timm.create_model(pretrained=True) makes the same model without its weights."
        what = "timm.models._builder.load_pretrained"
        place.stack.enter_context(patched(builder, "load_pretrained", lambda *_, **__: None, what=what, why=why))


def says(root: Path, word: str) -> bool:
    """Whether the model's own code has a word."""
    files = root.glob("*.py") if is_folder(root) else root.parent.glob("*.py")
    return any(word.encode() in file.read_bytes() for file in islice(files, _FILES) if is_file(file))


def _refusing(real: Any, name: str) -> Any:
    """A function of torch.hub for folders on disk alone."""

    def load(asked: object, *args: object, **keywords: object) -> object:
        if keywords.get("source") == "local":
            return real(asked, *args, **keywords)
        if name == "load":
            raise AnalyzerError(f"the code loads {asked} from GitHub by torch.hub.load", hint=_HINT)
        raise AnalyzerError(f"the code fetches {asked} by torch.hub.{name}", hint=_NO_WEIGHTS)

    return load
