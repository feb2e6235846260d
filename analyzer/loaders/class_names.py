"""Which dotted names of a model's files are looked up in libraries: an allowlist, and nothing is imported by a name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from analyzer.errors import AnalyzerError

_TRUST: Final = "read the folder, then pass --trust-remote-code"
_NAME: Final = re.compile(r"[A-Za-z]\w{0,127}")
_PARTS: Final = frozenset({
    "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout", "WeightedLayerPooling", "CNN", "LSTM", "SpladePooling",
    "SparseAutoEncoder",
})  # fmt: skip
"""Modules of sentence-transformers behind the encoder whose config holds numbers, and no names but an activation's."""
_ACTIVATION: Final = re.compile(r"torch\.nn\.(modules\.(activation|linear)\.)?[A-Z]\w{0,63}")


def is_name(name: object) -> bool:
    """Whether it can name a class of a library."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def check_part(root: Path, entry: dict[str, Any], *, trust: bool) -> str:
    """The dotted name of a module behind the encoder, as modules.json of sentence-transformers has it.

    Raises AnalyzerError for what is no name, and without trust for modules that are not known to load nothing else.
    """
    kind = entry.get("type")
    if not isinstance(kind, str) or not all(is_name(word) for word in kind.split(".")):
        raise AnalyzerError(f"{root / 'modules.json'} has no type of a module: {kind!r}", hint="save the model again")
    own = kind.partition(".")[0] != "sentence_transformers"
    if own and not trust:
        raise AnalyzerError(f"{root} comes with its own code: modules.json names {kind}", hint=_TRUST)
    if kind.rpartition(".")[2] not in _PARTS and not trust:
        raise AnalyzerError(f"{root / 'modules.json'} names {kind}, which may load more", hint=_TRUST)
    return kind


def check_activation(file: Path, settings: dict[str, Any], *, trust: bool) -> None:
    """Raises AnalyzerError where a module's config names a function to import that is no activation of torch."""
    name = settings.get("activation_function")
    if name is not None and not (trust or (isinstance(name, str) and _ACTIVATION.fullmatch(name))):
        raise AnalyzerError(f"{file} names the activation {name!r}, which is none of torch.nn", hint=_TRUST)
