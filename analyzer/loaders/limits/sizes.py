"""The largest numbers of a config that a model is built with: one table, each row with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Final, TypeAlias, TypeGuard

from analyzer.errors import AnalyzerError


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest value of some keys, what it counts, and why it is not larger.

    A key belongs to a row by its words, `num_hidden_layers` being three: one of `words`, one of `also` if there are
    any, none of `unless`.
    """

    most: int
    counts: str
    words: str
    also: str = ""
    unless: str = ""
    cost: str = ""
    largest: str = ""
    """The largest real value, and of what."""
    adding: str = ""
    """With one of these words, the numbers of a list add up, as the depths of the stages of a model do."""

    def names(self, words: frozenset[str]) -> bool:
        """Whether a key of these words belongs here."""
        wanted = not self.also or words & set(self.also.split())
        return bool(words & set(self.words.split()) and wanted and not words & set(self.unless.split()))

    def adds_up(self, key: str) -> bool:
        """Whether the numbers of a list under the key count together."""
        return bool(_words(key) & set(self.adding.split()))


LIMITS: Final = (
    Limit(
        250_000, "labels", "labels classes label2id id2label",
        cost="a Python dict names each: a million take 8 s", largest="21,843, ImageNet-22k",
    ),
    Limit(
        2_000, "layers", "layer layers depth depths block blocks stage stages pattern",
        adding="num numb depth depths per sizes repeats",
        unless="size dim channels channel width input vocab theta feature rank window expand ff index indices indexes "
        "records",
        cost="Python objects each, and some milliseconds of tracing", largest="1,000, DeepNet; Llama 3.1 405B has 126",
    ),
    Limit(
        20_000, "experts", "expert experts", unless="dim size",
        cost="in some models a module each", largest="16,384, Doge; Switch has 2,048, Kimi K2 384",
    ),
    Limit(
        1 << 24, "positions",
        "position positions ctx seq sequence context window length len chunk samples distance",
        unless="patch model",
        cost="tables of positions are computed for real", largest="10,485,760, Llama 4 Scout",
    ),
    Limit(
        1 << 28, "pixels", "pixels", cost="some become the size of an image", largest="12,845,056, Qwen2-VL",
    ),
    Limit(
        1 << 16, "pixels or samples", "sample", also="size sizes", unless="vocab",
        cost="what a denoiser or a decoder takes is made of that size", largest="65,536, UNet1DModel",
    ),
    Limit(
        1 << 13, "pixels a side", "height width resolution resolutions edge",
        cost="the image is made, and laid out in patches, for real", largest="3,456, LLaVA-OneVision",
    ),
    Limit(
        1 << 13, "numbers or pixels a side", "input", also="size sizes", unless="vocab token",
        cost="what the model takes is made of that size", largest="4,096, Moshi",
    ),
    Limit(
        1 << 12, "pixels a side", "image img crop grid feat rope canvas", also="size sizes", unless="vocab token",
        cost="the image is made, and laid out in patches, for real", largest="2,048, Emu3",
    ),
    Limit(
        1 << 14, "pixels or samples", "kernel kernels patch tubelet stride strides dilation dilations pool",
        unless="id ids",
        cost="tables of a window grow with its square", largest="384, the patch of Depth Pro",
    ),
    Limit(
        1 << 14, "samples", "conv", also="d", cost="a state of as many is laid out", largest="4, Mamba",
    ),
    Limit(
        256, "rounds", "iters iterations cycles loops passes",
        cost="each is traced operation by operation", largest="100, Sinkhorn's in SuperGlue",
    ),
    Limit(
        1 << 14, "bins or frames", "mel mels bins fft frames",
        cost="filter banks and clips are made for real", largest="3,000, VibeVoice",
    ),
    Limit(
        4_096, "channels", "channels", also="in num conditioning",
        cost="an image of as many channels is made for real", largest="2,048, a decoder of diffusers",
    ),
    Limit(
        1 << 16, "places", "pos", also="max", cost="a table of the places is computed for real",
        largest="9,216, AuraFlow",
    ),
    Limit(
        1 << 15, "rows", "buckets points objects patches timesteps", also="num n max",
        cost="some are gone through one by one", largest="16,384, the hash buckets of CANINE",
    ),
    Limit(
        1 << 14, "parts", "num n number numb head heads group groups quantizers codebooks levels flows buckets "
        "repeats",
        unless="dim size vocab params parameters embd embed embeds embeddings samples token tokens floor channels "
        "records",
        cost="in some models a module each", largest="4,608, the atoms of Graphormer",
    ),
    Limit(
        10_000, "ranks or tokens", "r rank virtual frequency vectors", unless="lora rope base",
        cost="peft makes some of them for real", largest="1,024, of LoRA",
    ),
)  # fmt: skip
"""The first row that names a key counts. A key that no row names has no limit: without data, a wide layer or a large
vocabulary costs nothing."""

LONGEST: Final = 10_000
"""Entries of any other list; the longest real one that was found has 283."""
MODULES: Final = 50_000
"""Layers times experts; Switch has 15 x 2,048, Kimi K2 61 x 384."""
_RETRIEVED: Final = ("doge",)
"""Model types whose experts are rows of a table."""
PATCHES: Final = 1 << 16
"""Patches of an image or a clip of transformers; Depth Pro has 110 x 110, V-JEPA 2 has 32 x 24 x 24."""
LATENTS: Final = 1 << 22
"""Pixels of what a part of diffusers takes; the autoencoder of Stable Diffusion XL has 1,024 x 1,024."""
TOKENS: Final = 1 << 17
"""Patches of what a transformer of diffusers takes; that of PixArt at 4K has 256 x 256."""
_LOOPED: Final = frozenset({"distilbert", "flaubert", "xlm", "marian", "pegasus", "roformer"})
"""Model types whose table of positions transformers 4 makes by a Python loop over its numbers."""
SINUSOIDS: Final = 1 << 14
"""Positions of those; published ones have up to 1,536."""
_SQUARED: Final = ("SD3Transformer2DModel", "SD3ControlNetModel")
"""Classes whose `pos_embed_max_size` is one side of a table; the largest has 384."""
TABLE: Final = 1 << 18
"""Places of that table."""
_HINT: Final = 8
"""How much larger a side of the hint is that a ControlNet takes besides."""
_SIDES: Final = ("image_size", "img_size", "sample_size", "input_size", "resolution")
"""Keys that say how large an image is, where `patch_size` says how it is cut."""
_Number: TypeAlias = tuple[str, str, int]
"""Where a number stands in a file, the key that names it, the number."""


def check_sizes(file: Path | str, settings: object) -> None:
    """Raise AnalyzerError if a number or a list of the settings in a file is larger than what is built."""
    for where, key, value in _numbers(settings, "", ""):
        limit = limit_of(key)
        if limit is not None and value > limit.most:
            raise _refused(file, where, value, limit.most, limit.counts, limit.cost)
        if limit is None and where.startswith(_LENGTH) and value > LONGEST:
            raise _refused(file, where, value, LONGEST, "entries", "the longest real list has 283")
    for where, value in _modules(settings, ""):
        if value > MODULES:
            raise _refused(file, where, value, MODULES, "modules", "each is some Python objects")
    for where, value, most in (*_patches(settings, ""), *_sinusoids(settings, "")):
        if value > most:
            raise _refused(file, where, value, most, "places", "the place of each is computed for real")


@lru_cache(maxsize=4096)
def limit_of(key: str) -> Limit | None:
    """The row of the table that a key of a config belongs to; None where it has no limit."""
    return next((one for one in LIMITS if one.names(_words(key))), None)


def _words(key: str) -> frozenset[str]:
    return frozenset(key.lower().split("_"))


_LENGTH: Final = "the length of "


def _numbers(value: object, path: str, key: str) -> Iterator[_Number]:
    """Every number, with the nearest name as its key; also the lengths of lists, and what the numbers of one add up to.

    A pattern in a text, a letter a layer, counts as a list.
    """
    if _is_number(value):
        yield path, key, int(value)
    elif isinstance(value, Mapping):
        yield f"{_LENGTH}{path or 'the object'}", key, len(value)
        for name, one in value.items():
            yield from _numbers(one, f"{path}.{name}" if path else str(name), str(name))
    elif isinstance(value, list):
        yield f"{_LENGTH}{path or 'the list'}", key, len(value)
        if (limit := limit_of(key)) is not None and limit.adds_up(key):
            yield f"the sum of {path}", key, sum(int(one) for one in value if _is_number(one))
        for one in value:
            yield from _numbers(one, path, key)
    elif isinstance(value, str) and key.endswith("pattern"):
        yield f"{_LENGTH}{path}", key, len(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and isfinite(value))


def _modules(value: object, path: str) -> Iterator[tuple[str, int]]:
    """Layers times experts, of the whole config and of each of its parts."""
    if not isinstance(value, Mapping):
        return
    counts = {str(k): v for k, v in value.items() if isinstance(v, int) and not isinstance(v, bool)}
    layers = {k: v for k, v in counts.items() if (row := limit_of(k)) is not None and row.counts == "layers"}
    experts = {k: v for k, v in counts.items() if (row := limit_of(k)) is not None and row.counts == "experts"}
    if layers and experts and value.get("model_type") not in _RETRIEVED:
        deep, wide = max(layers, key=layers.__getitem__), max(experts, key=experts.__getitem__)
        yield f"{path}{deep} times {wide}", layers[deep] * experts[wide]
    for name, one in value.items():
        yield from _modules(one, f"{path}{name}.")


def _patches(value: object, path: str) -> Iterator[tuple[str, int, int]]:
    """Places of what each part of the config looks at, and how many are too many."""
    if not isinstance(value, Mapping):
        return
    side = next((key for key in _SIDES if _largest(value.get(key))), "")
    if side and "_class_name" in value:
        if "1D" not in str(value["_class_name"]):
            yield _latents(value, path, side)
    elif side and (patch := _least(value.get("patch_size"))):
        frames = _largest(value.get("num_frames")) // (_least(value.get("tubelet_size")) or 1)
        by = "num_frames, patch_size" if frames > 1 else "patch_size"
        yield f"{path}{side} by {by}", (_largest(value[side]) // patch) ** 2 * max(1, frames), PATCHES
    if value.get("_class_name") in _SQUARED:
        yield f"{path}pos_embed_max_size squared", _largest(value.get("pos_embed_max_size")) ** 2, TABLE
    for name, one in value.items():
        yield from _patches(one, f"{path}{name}.")


def _latents(value: Mapping[str, object], path: str, side: str) -> tuple[str, int, int]:
    """The same of a part of diffusers: pixels, or patches where a transformer has a table of them."""
    size, patch = _largest(value.get(side)), _least(value.get("patch_size")) or 1
    if "conditioning_channels" in value:
        size *= _HINT
    tabled = side == "sample_size" and "Transformer" in str(value["_class_name"])
    where = f"{path}{side} by patch_size" if patch > 1 else f"{path}{side} squared"
    return where, (size // patch) ** 2, TOKENS if tabled else LATENTS


def _sinusoids(value: object, path: str) -> Iterator[tuple[str, int, int]]:
    """Positions of a table that is made number by number."""
    if isinstance(value, Mapping):
        if str(value.get("model_type")) in _LOOPED:
            yield f"{path}max_position_embeddings", _largest(value.get("max_position_embeddings")), SINUSOIDS
        for name, one in value.items():
            yield from _sinusoids(one, f"{path}{name}.")


def _largest(value: object) -> int:
    return max(_whole(value), default=0)


def _least(value: object) -> int:
    return min(_whole(value), default=0)


def _whole(value: object) -> list[int]:
    """The positive whole numbers of a number or of a list of them."""
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, int) and not isinstance(one, bool) and one > 0]


def _refused(file: Path | str, where: str, value: int, most: int, counts: str, cost: str) -> AnalyzerError:
    said = f"{value:,}" if abs(value) < 10**18 else "a number of more than 18 digits"
    return AnalyzerError(f"{file}: {where[:100]} is {said}; more than {most:,} {counts} are not built", hint=cost)
