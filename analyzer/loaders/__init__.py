"""Ways to get a module without weights from what a person has on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

# Before anything imports transformers: this tool never fetches.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"

from analyzer.capture import Loaded
from analyzer.errors import AnalyzerError
from analyzer.findings import Assumption
from analyzer.loaders import transformers_dir
from analyzer.loaders.settings import read_settings
from analyzer.plan import Plan

LOADERS: Final = {"config.json": transformers_dir.load}
"""The file that marks a kind of folder -> its loader."""

_OTHER_FOLDERS: Final = {
    "adapter_config.json": "this is a PEFT adapter; give the folder of its base model, and this one with --adapter",
    "model_index.json": "this is a diffusers pipeline, which is not supported; give a transformers model folder",
}
_FOLDER: Final = "give a folder with a config.json, as save_pretrained writes it"


def load(
    path: Path | str,
    plan: Plan,
    *,
    trust_remote_code: bool = False,
    inputs_file: Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Loaded:
    """The model in folder `path` as loading it under `plan` would build it, with inputs, but without weights."""
    root = Path(path)
    if not root.exists():
        raise AnalyzerError(f"no such folder: {path}", hint="models are read from disk, never fetched from a hub")
    if not root.is_dir():
        raise AnalyzerError(f"{path} is a file, not a model folder", hint=_FOLDER)
    for marker, loader in LOADERS.items():
        if (root / marker).is_file():
            settings = read_settings(root / marker)
            inputs = Path(inputs_file) if inputs_file is not None else None
            loaded = loader(
                root, settings, plan, trust_remote_code=trust_remote_code, inputs_file=inputs, progress=progress
            )
            said = tuple(Assumption("recipe", note) for note in plan.notes)
            return replace(loaded, assumptions=(*said, *loaded.assumptions))
    hint = next((text for name, text in _OTHER_FOLDERS.items() if (root / name).is_file()), _FOLDER)
    raise AnalyzerError(f"no config.json in {path}", hint=hint)
