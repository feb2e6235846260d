"""Asks the processors that a model type ships what they make of a blank image or of silence by their own defaults."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import numpy as np
import torch

from analyzer.inputs.documented import image_size
from analyzer.inputs.facts import Facts
from analyzer.ir import walk

_RATE: Final = 16_000
"""Samples of a second of sound, where the feature extractor does not say."""
_MASK: Final = "attention_mask"
_MASKS: Final = ("feature_attention_mask", "input_features_mask", "audio_attention_mask", "audio_mask", _MASK)
"""What a forward calls the mask that a feature extractor makes."""
_GRIDS: Final = {"image_grid_thw": "grid_thw", "image_position_ids": "pixel_position_ids"}
"""What an image processor makes -> what a vision tower alone calls it."""
_PATCHING: Final = {
    "patch_size": ("patch_size",),
    "temporal_patch_size": ("temporal_patch_size",),
    "merge_size": ("spatial_merge_size", "merge_size"),
}
"""Argument of an image processor -> what a config calls it."""


def image(facts: Facts) -> dict[str, torch.Tensor]:
    """What the image processor gives forward for one grey image; nothing where there is no processor that works."""
    for name in _names("image_processing_auto", "IMAGE_PROCESSOR_MAPPING_NAMES", facts.model_types("vision")):
        with _harmless() as made:
            processor = _class(name)(**_patching(_class(name), facts))
            height, width = _wanted(facts)
            grey = np.full((height or 224, width or 224, 3), 127, dtype=np.uint8)
            sizes = _sizes(processor, height, width) if height else {}
            made |= processor(images=[grey], return_tensors="pt", **sizes)
        if given := _given(made, facts):
            return _clip(given, facts)
    return {}


def _clip(given: dict[str, torch.Tensor], facts: Facts) -> dict[str, torch.Tensor]:
    """As many frames as the config counts, where a processor of clips was given one image."""
    count = facts.find("num_frames", kind="vision", default=1)
    clips = {k: v for k, v in given.items() if v.dim() == 5 and v.shape[1] == 1 and isinstance(count, int)}
    return given | {name: value.repeat(1, count, 1, 1, 1) for name, value in clips.items()}


def sound(facts: Facts) -> dict[str, torch.Tensor]:
    """What the feature extractor gives forward for a second of silence; nothing where there is none that works."""
    masks = [name for name in _MASKS if name in facts.names and not ("input_ids" in facts.names and name == _MASK)]
    for name in _names("feature_extraction_auto", "FEATURE_EXTRACTOR_MAPPING_NAMES", facts.model_types("audio")):
        with _harmless() as made:
            extractor = _class(name)(**_bins(facts))
            rate = getattr(extractor, "sampling_rate", _RATE)
            asked = {f"return_{_MASK}": True} if masks else {}
            made |= extractor(np.zeros(rate, dtype=np.float32), sampling_rate=rate, return_tensors="pt", **asked)
        mask = made.pop(_MASK, None)
        made |= {masks[0]: mask} if masks and mask is not None else {}
        if given := _given(made, facts):
            return given
    return {}


def _bins(facts: Facts) -> dict[str, int]:
    bins = facts.find("num_mel_bins", kind="audio", default=None)
    return {"feature_size": bins} if isinstance(bins, int) else {}


def _patching(processor: object, facts: Facts) -> dict[str, int]:
    """How the model cuts an image, where that is the processor's work."""
    found = {name: facts.find(*names, kind="vision", default=None) for name, names in _PATCHING.items()}
    if found["patch_size"] is not None and found["temporal_patch_size"] is None:
        found["temporal_patch_size"] = 1  # a config that says how it cuts images, and nothing of clips
    return {k: v for k, v in found.items() if isinstance(v, int) and isinstance(getattr(processor, k, None), int)}


def _class(name: str) -> Any:
    import transformers  # here, as a module that is traced without a folder needs none of it

    return getattr(transformers, name)


def _names(room: str, table: str, model_types: Iterator[str]) -> Iterator[str]:
    """Class names in transformers' own table, those first that need no package beyond numpy and Pillow."""
    mapping = getattr(import_module(f"transformers.models.auto.{room}"), table)
    for model_type in dict.fromkeys(model_types):
        listed = mapping.get(model_type)
        backends = [listed.get("pil"), listed.get("torchvision")] if isinstance(listed, dict) else listed
        for name in [backends] if isinstance(backends, str) else backends or ():
            if name:
                yield name


def _wanted(facts: Facts) -> tuple[int, int]:
    """The size that the config asks for; zeros where it leaves that to the processor."""
    named = facts.find("image_size", "img_size", kind="vision", default=None)
    return image_size(facts) if named is not None else (0, 0)


def _sizes(processor: object, height: int, width: int) -> dict[str, object]:
    """The processor's size arguments in its own form, in the size that the config asks for."""
    given: dict[str, Any] = {}
    for name in ("size", "crop_size"):
        default = getattr(processor, name, None)
        keys = {key for key in ("height", "width", "shortest_edge") if _value(default, key) is not None}
        if keys == {"height", "width"}:
            given[name] = {"height": height, "width": width}
        elif keys == {"shortest_edge"} and getattr(processor, "crop_size", None) is not None:
            given[name] = {"shortest_edge": min(height, width)}
    return given


def _value(size: object, key: str) -> object:
    return size.get(key) if isinstance(size, dict) else getattr(size, key, None)


def taken(made: Mapping[str, Any], facts: Facts) -> dict[str, Any]:
    """What forward takes of it, floats in the dtype of the inputs, in lists and dicts as well."""

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(facts.dtype) if tensor.is_floating_point() else tensor

    return {k: walk.changed(v, torch.Tensor, cast) for k, v in made.items() if k in facts.names}


def _given(made: dict[str, object], facts: Facts) -> dict[str, torch.Tensor]:
    """The tensors among them that forward takes, floats in the dtype of the inputs."""
    named = {_GRIDS.get(k, k) if k not in facts.names else k: v for k, v in made.items()}
    tensors = {k: torch.as_tensor(v) for k, v in named.items() if k in facts.names and _is_array(v)}
    return {k: v.to(facts.dtype) if v.is_floating_point() else v for k, v in tensors.items()}


def _is_array(value: object) -> bool:
    return isinstance(value, (torch.Tensor, np.ndarray))


@contextlib.contextmanager
def _harmless() -> Iterator[dict[str, object]]:
    """Whatever a processor cannot do by its defaults alone leaves its answer empty."""
    made: dict[str, Any] = {}
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        yield made
