"""Asks the processor in a model's folder what it makes of an image, a second of sound, and a text with them."""

from __future__ import annotations

import contextlib
import inspect
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from analyzer.errors import AnalyzerError
from analyzer.ir import walk
from analyzer.loaders.files.json_files import read_settings
from analyzer.loaders.remote_code.importing import import_class
from analyzer.loaders.remote_code.placeholders import prompts

_FILES: Final = ("preprocessor_config.json", "processor_config.json")
_PARTS: Final = {
    "image_processor": ("AutoImageProcessor", "AutoFeatureExtractor"),
    "feature_extractor": ("AutoFeatureExtractor", "AutoImageProcessor"),
    "audio_processor": ("AutoFeatureExtractor",),
}
"""Argument of a processor -> the entries of auto_map that may give it."""
_TYPES: Final = ("image_processor_type", "feature_extractor_type")
_NAMES: Final = re.compile(r"[A-Z]\w{1,80}(ImageProcessor|FeatureExtractor)(Pil)?")
_TEXTS: Final = ("text", "texts", "prompt", "prompts", "input_str")
_IMAGES: Final = ("images", "image", "imgs")
_SOUNDS: Final = ("audio", "audios", "raw_speech", "sound")
_SIZE: Final = 448
"""Pixels that an image is wide and high."""
_RATE: Final = 16_000
_LARGEST: Final = 4096
"""Pixels that an image may be wide or high, as for a config."""
_MOST: Final = _LARGEST * _LARGEST
"""Pixels that it may have."""
_CALLS: Final = ("__call__", "process", "preprocess")
_PREPARATIONS: Final = (OSError, ValueError, TypeError, AttributeError, KeyError, RuntimeError, ImportError)


def processed_by(root: Path, *, trust: bool) -> tuple[dict[str, Any], str]:
    """What the folder's processor gives by name, in its own dtypes, and why it gives nothing, if it was asked.

    Without trust only classes of transformers are asked, which the folder names.
    """
    settings = _settings(root)
    entries = settings.get("auto_map") if trust else None
    entries = entries if isinstance(entries, dict) else {}
    if not settings:
        return {}, ""
    if too_large(settings):
        return {}, "it makes images too large to be made here"
    why = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for ask in (_whole, _part):
            try:
                if made := ask(root, entries, settings):
                    return made, ""
            except (Exception, SystemExit) as error:  # whatever a stranger's processor raises
                why = why or f"{type(error).__name__}: {error}".partition("\n")[0]
    return {}, why if entries else ""


def _settings(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _FILES:
        file = root / name
        with contextlib.suppress(AnalyzerError):
            held = read_settings(file) if file.is_file() else {}
            maps = {**_mapping(held.get("auto_map")), **_mapping(found.get("auto_map"))}
            found = {**held, **found, "auto_map": maps}
    return found


def too_large(settings: Mapping[str, Any]) -> bool:
    """Whether settings ask for images that nobody has the memory for: a stranger's folder may say any size.

    >>> too_large({"size": {"shortest_edge": 224}}), too_large({"size": {"shortest_edge": 65536}})
    (False, True)
    """
    edges = [size for key in ("size", "crop_size") for size in _edges(settings.get(key))]
    counts = [value for value in settings.values() if type(value) in (int, float)]
    return any(size > _LARGEST for size in edges) or any(count > _MOST for count in counts)


def _edges(size: object) -> list[float]:
    """The edges that a size has; with a longest one, both are numbers of pixels, as of images of any form."""
    if isinstance(size, dict) and "longest_edge" in size:
        return [value / _LARGEST for value in size.values() if isinstance(value, (int, float))]
    values = size.values() if isinstance(size, dict) else [size]
    return [value for value in values if isinstance(value, (int, float))]


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(root: Path, entries: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the processor of text and images gives; nothing where the folder has none of its own."""
    entry = entries.get("AutoProcessor")
    if not isinstance(entry, str):
        return {}
    cls = import_class(root, entry)
    takes = inspect.signature(cls.__init__).parameters
    parts = {name: _made_part(root, name, entries, settings) for name in _PARTS if name in takes}
    given = {name: settings[name] for name in takes if name in settings and name not in parts}
    if "tokenizer" in takes:
        given["tokenizer"] = tokenizer(root)
    processor = cls(**{name: part for name, part in parts.items() if part is not None}, **given)
    last: Exception | None = None
    for prompt in prompts(processor, cls):
        try:
            return _named(_asked(processor, prompt))
        except _PREPARATIONS as error:
            last = last or error
    if last is not None:
        raise last
    return {}


def _part(root: Path, entries: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the image processor or feature extractor alone gives."""
    processor = _made_part(root, "image_processor", entries, settings)
    return _named(_asked(processor, "")) if processor is not None else {}


def _made_part(root: Path, name: str, entries: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """An image processor or feature extractor, the folder's own or the one of transformers that it names."""
    entry = next((entries[key] for key in _PARTS[name] if isinstance(entries.get(key), str)), None)
    cls = import_class(root, entry) if entry else _of_transformers(settings)
    if cls is None:
        return None
    with contextlib.suppress(*_PREPARATIONS):
        return cls.from_pretrained(str(root))
    plain = {key: value for key, value in settings.items() if key not in ("auto_map", "processor_class", *_TYPES)}
    return cls(**plain)


def _of_transformers(settings: Mapping[str, Any]) -> Any:
    """The class that a folder names, under the name that it has today, and without torchvision if there are two."""
    import transformers

    named = next((value for key in _TYPES if isinstance(value := settings.get(key), str)), "")
    plain = named.removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")
    for name in (f"{plain}Pil", plain, named):
        cls = getattr(transformers, name, None) if _NAMES.fullmatch(name) else None
        if isinstance(cls, type) and hasattr(cls, "from_pretrained"):
            return cls
    return None


def tokenizer(root: Path) -> Any:
    """The folder's tokenizer, of its own class where it names one. Raises what that raises."""
    from transformers import AutoTokenizer

    said = read_settings(root / "tokenizer_config.json").get("auto_map")
    entry = said.get("AutoTokenizer") if isinstance(said, dict) else None
    names = [one for one in (entry if isinstance(entry, list) else [entry]) if isinstance(one, str)]
    if names:
        return import_class(root, names[-1]).from_pretrained(str(root))
    return AutoTokenizer.from_pretrained(str(root))


def _asked(processor: Any, prompt: str) -> Any:
    """What a processor makes of an image, a sound and a text, of which it gets what its signature has a name for."""
    method = next(one for name in _CALLS if (one := getattr(processor, name, None)) is not None)
    parameters = inspect.signature(method).parameters
    gathers = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    given: dict[str, Any] = {}
    for names, value in ((_TEXTS, prompt), (_IMAGES, [_image()]), (_SOUNDS, np.zeros(_RATE, dtype=np.float32))):
        if value != "" if isinstance(value, str) else True:
            given |= {name: value for name in [next((n for n in names if n in parameters), "")] if name}
    if "sampling_rate" in parameters:
        given["sampling_rate"] = _RATE
    if gathers or "return_tensors" in parameters:
        given["return_tensors"] = "pt"
    return method(**given)


def _image() -> Any:
    """A grey image."""
    grey = np.full((_SIZE, _SIZE, 3), 127, dtype=np.uint8)
    try:
        from PIL import Image
    except ImportError:
        return grey
    return Image.fromarray(grey)


def _named(made: Any) -> dict[str, Any]:
    """The values by name, arrays as tensors; a single text without a batch gets one."""
    found = {str(name): _tensors(value) for name, value in dict(made).items()}
    ids = found.get("input_ids")
    if isinstance(ids, torch.Tensor) and ids.dim() == 1:
        return {k: v[None] if isinstance(v, torch.Tensor) else v for k, v in found.items()}
    return found


def _tensors(value: Any) -> Any:
    return walk.changed(value, np.ndarray, lambda array: torch.as_tensor(array))
