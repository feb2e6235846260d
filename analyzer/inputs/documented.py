"""Reads from the documentation of a forward which tensors it takes: their kinds and the names of their dimensions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import torch

from analyzer.inputs.facts import Facts

_ENTRY: Final = re.compile(
    r"(?m)^\s*(?P<name>\w+) \(`?'?(?P<kind>[\w.]*Tensor)'?`?,? of shape [`'\"(]+(?P<shape>(?:[^()`']|\([^()]*\))*)\)",
    re.IGNORECASE,
)
_ASIDE: Final = re.compile(r"\s*\(.*?\)")
"""What documentation adds to a dimension: "total_classes (>= batch_size)"."""
_INTEGERS: Final = ("long", "int")
CHOICES: Final = 2
"""How many texts there are to choose from."""
PATCHES: Final = 8
"""How many patches an image is wide and high, where the model counts them in a grid."""


@dataclass(frozen=True, slots=True)
class Documented:
    """A tensor argument as its documentation describes it: `torch.LongTensor`, ("batch_size", "num_boxes", "4")."""

    kind: str
    dims: tuple[str, ...]


def read(text: str | None) -> dict[str, Documented]:
    """Argument -> what the documentation says of it, as far as it gives a shape; of several shapes the first."""
    found: dict[str, Documented] = {}
    for entry in _ENTRY.finditer(text or ""):
        shape = entry["shape"].replace("{0}", "batch_size, sequence_length")  # a gap that nobody filled
        dims = tuple(part.strip() for part in shape.strip(" ()").split(",") if part.strip())
        found.setdefault(entry["name"], Documented(entry["kind"].rpartition(".")[2].lower(), dims))
    return found


def make(name: str, said: Documented, facts: Facts) -> torch.Tensor:
    """A tensor of the documented kind and shape: zeros, or ones for a mask."""
    shape = tuple(_size(dim, name, facts) for dim in said.dims)
    return fill(name, shape, facts, said.kind)


def fill(name: str, shape: tuple[int, ...], facts: Facts, kind: str = "") -> torch.Tensor:
    """A tensor in the dtype that the kind says, or else the name: zeros, or ones for a mask; half hides parts."""
    if "masked" in name and kind.startswith("bool"):
        return (torch.arange(prod(shape)) % 2 == 0).reshape(shape)
    if kind.startswith("bool"):
        return torch.ones(shape, dtype=torch.bool)
    if ("mask" in name and not (kind.startswith("float") and "attention" not in name)) or name.startswith("is_"):
        return torch.ones(shape, dtype=torch.long)
    is_integer = kind.startswith(_INTEGERS) or name.endswith(("_ids", "_id", "_thw", "_seq", "_sizes", "bbox"))
    is_integer |= name.endswith("labels") and not kind.startswith("float")
    return torch.zeros(shape, dtype=torch.long if is_integer else facts.dtype)


def _size(dim: str, name: str, facts: Facts) -> int:
    """A documented dimension as a number: written out, known by its word, or an attribute of the config."""
    if "*" in dim.strip("`* "):
        return prod(_size(factor, name, facts) for factor in dim.strip("`* ").split("*"))
    word = _ASIDE.sub("", dim).strip("`* ").removeprefix("self.").removeprefix("config.").lower()
    if word.isdigit():
        return int(word)
    known = next((size for words, size in _WORDS if word in words), None)
    kinds = ("text", "vision", "audio")
    found: list[Any] = [known(facts, name)] if known else [facts.find(word, kind=kind, default=None) for kind in kinds]
    sizes = [int(size) for size in found if isinstance(size, int) and size > 0]
    return sizes[0] if sizes else _SMALL


def _length(facts: Facts, name: str) -> int:
    context = facts.find("context_length", default=None)
    if not name.startswith("past_") or not isinstance(context, int):
        return facts.length
    lags = facts.find("lags_sequence", default=None) or [0]
    return int(context + max(lags))


def image_size(facts: Facts) -> tuple[int, int]:
    """Height and width that the config says for an image."""
    size = facts.find("image_size", "input_size", "img_size", kind="vision", default=224)
    if isinstance(size, dict):
        size = (size["height"], size["width"]) if "height" in size else next(iter(size.values()))
    height, width = (size, size) if isinstance(size, int) else (size[-2], size[-1])
    return int(height), int(width)


_SMALL: Final = 4
"""What a dimension is that nothing says."""
_WORDS: Final[tuple[tuple[tuple[str, ...], Callable[[Facts, str], object]], ...]] = (
    (("batch_size", "batch", "bsz", "num_images", "num_videos"), lambda *_: 1),
    (("num_choices",), lambda *_: CHOICES),
    (("num_image_tokens", "total_patches", "num_patches"), lambda facts, _: PATCHES**2 if facts.has_grid else _SMALL),
    (("sequence_length", "seq_length", "seq_len", "seq", "text_length", "num_boxes", "episode_length"), _length),
    (("target_sequence_length", "source_sequence_length", "input_sequence_length", "max_seq_length"), _length),
    (("height", "image_height"), lambda facts, _: image_size(facts)[0]),
    (("width", "image_width"), lambda facts, _: image_size(facts)[1]),
    (("num_channels", "channels"), lambda f, _: f.find("num_channels", "in_channels", kind="vision", default=3)),
    (
        ("hidden_size", "embed_dim", "embedding_dim", "dim", "d_model"),
        lambda f, _: f.find("hidden_size", "d_model", "embed_dim", "dim", default=_SMALL),
    ),
    (
        ("num_mel_bins", "feature_size", "feature_dim", "n_mels", "mel_bins", "input_dim"),
        lambda f, _: f.find("num_mel_bins", "feature_size", "input_dim", kind="audio", default=80),
    ),
    (("num_frames", "time", "frames"), lambda f, _: f.find("num_frames", kind="vision", default=8)),
    (("audio_length", "num_samples", "raw_audio_length"), lambda *_: 16_000),
)
"""Words for a dimension -> its size, of the facts and the argument's name; any other is looked up in the config."""
