"""Which arguments carry an image, a clip, a sound or boxes, by the names that people give them, and what they are."""

from __future__ import annotations

import inspect
import re
from typing import Any, Final, Literal, TypeAlias

import torch
from torch import nn

from analyzer.inputs.documented import image_size
from analyzer.inputs.facts import Facts

Modality: TypeAlias = Literal["image", "video", "sound", "boxes", ""]
_NAMES: Final[tuple[tuple[Modality, re.Pattern[str]], ...]] = (
    ("video", re.compile(r"pixel_values_videos?|videos?|video_(values|frames|pixel_values)")),
    (
        "sound",
        re.compile(r"(input|audio)_(features|values|inputs?)|audios?|speech|waveforms?|wavs?"),
    ),
    ("boxes", re.compile(r"bbox|boxes|input_boxes")),
    (
        "image",
        re.compile(r"(pixel|image)_(values|inputs?|tensors?|pixel_values)|(batch_)?images?|imgs?|pixels"),
    ),
)
_SECOND: Final = 16_000
"""Samples of a second of sound."""
_FRAMES: Final = 8
_NESTED: Final = re.compile(r"\b(?:List|list|Sequence)\[")
_LAYERS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding)


def modality_of(name: str) -> Modality:
    """What an argument of this name carries beside text; "" for anything else.

    >>> modality_of("pixel_values"), modality_of("images"), modality_of("image_sizes"), modality_of("input_ids")
    ('image', 'image', '', '')
    """
    return next((kind for kind, pattern in _NAMES if pattern.fullmatch(name)), "")


def boxes(facts: Facts) -> torch.Tensor:
    """A box for each token, none of them empty."""
    return torch.tensor([0, 0, 10, 10]).repeat(1, facts.length, 1)


def nested(made: Any, annotation: object) -> Any:
    """A batch of one as the annotation wants it: `List[List[Tensor]]` is a list of images for each text.

    >>> nested(torch.zeros(1, 3, 4, 4), "List[List[torch.Tensor]]")[0][0].shape
    torch.Size([3, 4, 4])
    """
    depth = len(_NESTED.findall(str(annotation)))
    if not depth or not isinstance(made, torch.Tensor) or made.dim() < 3:
        return made
    for _ in range(depth):
        made = [made[0] if isinstance(made, torch.Tensor) else made]
    return made


def of_first_layer(facts: Facts) -> torch.Tensor | None:
    """What the first layer of a model takes, which tells what goes in where nothing is said; None without layers."""
    first = next((layer for layer in facts.model.modules() if isinstance(layer, _LAYERS)), None)
    if isinstance(first, nn.Embedding):
        return torch.arange(facts.length)[None] % first.num_embeddings
    if isinstance(first, nn.Linear):
        return torch.zeros((1, facts.length, first.in_features), dtype=facts.dtype)
    if first is None:
        return None
    height, width = image_size(facts)
    sizes = {nn.Conv1d: (_SECOND,), nn.Conv2d: (height, width), nn.Conv3d: (_FRAMES, height, width)}
    size = next(size for cls, size in sizes.items() if isinstance(first, cls))
    return torch.zeros((1, first.in_channels, *size), dtype=facts.dtype)


_PLAIN: Final[dict[str, Any]] = {"str": "What is this?", "bool": False, "int": 1, "float": 1.0}
"""What stands for an argument that is no tensor, by its annotation."""
_SPOKEN: Final = re.compile(r"(user_)?(prompt|question|query|text|message|instruction)s?")
_PICTURE: Final = re.compile(r"\bImage\.Image\b|\bPIL\b")
_GREY: Final = (127, 127, 127)


def plain(name: str, annotation: object, *, driven: bool) -> Any:
    """A text, a number, a truth value or a picture, where the annotation asks for one; else None.

    Of a method that people call in the place of a forward, the name may ask for a text or a picture as well.
    """
    said = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    bare = driven and annotation is inspect.Parameter.empty
    if _PICTURE.search(str(annotation)) or (bare and modality_of(name) == "image" and not name.startswith("batch_")):
        return _picture()
    if bare and _SPOKEN.fullmatch(name):
        return _PLAIN["str"]
    return _PLAIN.get(said.removeprefix("Optional[").rstrip("]"))


def _picture() -> Any:
    """A grey picture as files are opened; None without Pillow."""
    try:
        from PIL import Image
    except ImportError:
        return None
    return Image.new("RGB", (_SIDE, _SIDE), _GREY)


_SIDE: Final = 224
"""Pixels that a picture is wide and high."""
