"""Makes the arguments of a forward: by name, from a processor, from the documentation, or from the name's kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch

from analyzer.inputs import documented, processors
from analyzer.inputs.documented import CHOICES, PATCHES, Documented, fill, image_size
from analyzer.inputs.facts import Facts
from analyzer.inputs.modalities import boxes, modality_of, nested, of_first_layer, plain
from analyzer.inputs.token_ids import features_of_image, opened_token

_PROCESSED: Final = ("pixel_values", "input_features", "input_values")
"""What the processors of transformers make, by its name."""
_TEXT: Final = "input_ids"
_STARTS: Final = ("_start_idx", "_start_index")
_SIZES: Final = ("batch_size",)
_COUNTS: Final = (*_STARTS, *_SIZES, "_len", "_lens", "_lengths")
"""Ends of names of a number for each example."""
_BOUNDS: Final = ("_bound", "_bounds")
"""Ends of names of where an image begins and ends in a text."""


def choose(facts: Facts) -> dict[str, Any]:
    """Arguments for all that forward requires or is usually given; None for one that cannot be made up."""
    values: dict[str, Any] = {}
    for name in facts.names:
        required = facts.is_required(name)
        if name not in values and (required or name in facts.main or _is_usual(name, facts)):
            values |= together(name, facts, values) if required or make(name, facts, values) is not None else {}
    return values


def together(name: str, facts: Facts, given: dict[str, Any]) -> dict[str, Any]:
    """An argument, and those that its processor makes with it; one of tokens brings its mask."""
    if name in facts.processed:
        made = processors.taken(facts.processed, facts)
        return {key: value for key, value in made.items() if key == name or key not in given}
    kind = modality_of(name) if name in _PROCESSED else ""
    made = {"image": processors.image, "sound": processors.sound}[kind](facts) if kind else {}
    if name in made and not (name == "input_features" and _counts_frames(facts)):
        return {**made}
    grid = "video_grid_thw" if modality_of(name) == "video" and "video_grid_thw" in facts.names else ""
    return {name: make(name, facts, given), **({grid: make(grid, facts, given)} if grid else {})}


def make(name: str, facts: Facts, given: dict[str, Any]) -> Any:
    """One argument; None if nothing says what it is."""
    annotation = facts.signature.parameters[name].annotation if name in facts.names else ""
    return nested(_made(name, facts, given), annotation)


def _made(name: str, facts: Facts, given: dict[str, Any]) -> Any:
    said = documented.read(facts.call.doc).get(name)
    squares = _are_squares(said)
    if name in ("hidden_states", "pixel_values_videos", "pixel_values") and facts.has_grid and not squares:
        return _patches(facts)
    if (maker := _MAKERS.get(name)) is not None and not squares:
        return _choices(_as_long(maker(facts), facts, given.get(_TEXT)), facts)
    if name in ("target_sizes", "tgt_sizes") and "pixel_values" in given:
        return _cut(given["pixel_values"], facts)
    if name.endswith("grid_thw"):
        return torch.tensor([[1, PATCHES, PATCHES]])
    return _described(name, said, facts, given)


def _described(name: str, said: Documented | None, facts: Facts, given: dict[str, Any]) -> Any:
    """As what an argument is called, or documented, says."""
    is_documented = said is not None and bool(said.dims)
    if (kind := modality_of(name)) and name not in _PROCESSED and not is_documented:
        return _picture_or(facts, name) or _OF_KIND[kind](facts)
    masked = given.get(name.removesuffix("attention_mask") + "input_ids")
    if name.endswith("_attention_mask") and isinstance(masked, torch.Tensor):
        return fill(name, tuple(masked.shape), facts, said.kind if said else "")
    if said is not None and is_documented:
        return documented.make(name, said, facts)
    return _by_kind(name, facts, given)


def _picture_or(facts: Facts, name: str) -> Any:
    """A picture, where a method that people call takes one as it is; else None."""
    annotation = facts.signature.parameters[name].annotation if name in facts.names else ""
    return plain(name, annotation, driven=facts.call.method != "forward") if modality_of(name) == "image" else None


def _are_squares(said: Documented | None) -> bool:
    """Whether the documentation describes patches that do not lie flat: each as wide and high as in the image."""
    return said is not None and len(said.dims) > 2 and sum("patch_size" in dim for dim in said.dims) == 2


def _as_long(made: torch.Tensor, facts: Facts, text: torch.Tensor | None) -> torch.Tensor:
    """Something for each token: as long as the text is by now."""
    if not isinstance(text, torch.Tensor) or made.shape != (1, facts.length) or text.dim() != 2:
        return made
    step = made[:, -1:] - made[:, -2:-1] if facts.length > 1 else made
    return made[:, :1] + step * torch.arange(text.shape[1])[None]


def _by_kind(name: str, facts: Facts, given: dict[str, object]) -> Any:
    """What names of one ending have in common."""
    beside = given.get(name.removesuffix("_masks") + "s")
    if name.endswith("_masks") and isinstance(beside, torch.Tensor) and beside.dim() > 1:
        return fill(name, tuple(beside.shape[:-1]), facts)  # of each image, crop and patch
    if name.endswith("_mask") or name == "padding_mask":
        masked = given.get(name.removesuffix("_mask"), given.get("input_features"))
        shape = tuple(masked.shape[:2]) if isinstance(masked, torch.Tensor) and masked.dim() > 1 else (1, facts.length)
        return fill(name, shape, facts)
    if name.endswith(_COUNTS):
        return _count(name, facts, given)
    if name.endswith(("_ids", "_idx", "_indices")):
        return torch.zeros((1, facts.length), dtype=torch.long)
    if name.endswith("_flags"):
        return torch.ones((1, 1), dtype=torch.long)
    if name.endswith(_BOUNDS):
        return torch.tensor([[[1, 1 + features_of_image(facts)]]])
    return _by_annotation(name, facts)


def _count(name: str, facts: Facts, given: dict[str, Any]) -> torch.Tensor:
    """A number for each example: where it starts, how many there are, how long it is."""
    if name.endswith(_STARTS):
        return torch.zeros(1, dtype=torch.long)
    if name.endswith(_SIZES):
        return torch.ones(1, dtype=torch.long)
    sounds = [value for key, value in given.items() if modality_of(key) == "sound" and isinstance(value, torch.Tensor)]
    whole = sounds[0].shape[-1] if sounds and not name.endswith("_len") else facts.length // 2
    return torch.tensor([whole])


def _by_annotation(name: str, facts: Facts) -> Any:
    """What nothing describes: numbers for each token, as wide as the model, or integers if the annotation says so."""
    parameter = facts.signature.parameters[name]
    annotation = str(parameter.annotation)
    if "LongTensor" in annotation or "IntTensor" in annotation:
        return torch.zeros((1, facts.length), dtype=torch.long)
    if "Tensor" not in annotation and not name.endswith(("embeds", "embeddings", "_states")):
        driven = facts.call.method != "forward"
        if (made := plain(name, parameter.annotation, driven=driven)) is not None:
            return made
        unknown = parameter.annotation is parameter.empty and facts.is_required(name)
        return of_first_layer(facts) if unknown and not driven else None
    width = facts.find("hidden_size", "d_model", default=None)
    if width is None and (made := of_first_layer(facts)) is not None:
        return made
    return torch.zeros((1, facts.length, width if isinstance(width, int) else 64), dtype=facts.dtype)


def ids(facts: Facts) -> torch.Tensor:
    """Token ids without special ones."""
    size = facts.find("vocab_size", default=100)
    plain = [i for i in (n % size for n in range(10, 10 + min(size, 200))) if i not in facts.special]
    row = ((plain[: facts.length] or [0]) * facts.length)[: facts.length]
    if type(facts.model).__name__.endswith("ForSequenceClassification") and facts.is_seq2seq:
        row[-1] = facts.find("eos_token_id", default=0)
    token = opened_token(facts, "image", "img") if facts.feed != "text" else None
    if any(name.endswith(_BOUNDS) for name in facts.names):
        token = row[0]
    if token is not None:  # no config says what it is, so no error of the model will ask for it
        row[1:1] = [token] * features_of_image(facts)
    return torch.tensor([row], dtype=torch.long)


def _choices(made: torch.Tensor, facts: Facts) -> torch.Tensor:
    """Two texts to choose from, where that is the model's work."""
    chooses = type(facts.model).__name__.endswith("ForMultipleChoice")
    return made[:, None].repeat(1, CHOICES, 1) if chooses and made.dim() == 2 else made


def _decoder_ids(facts: Facts) -> torch.Tensor:
    start = facts.find("decoder_start_token_id", default=None)
    made = ids(facts)[:, :8]
    if isinstance(start, int):
        made[0, 0] = start
    return made


def _clip(facts: Facts) -> torch.Tensor:
    """A clip, of two frames where the config counts none."""
    made = _pixels(facts)
    return made if made.dim() == 5 else torch.stack([made] * 2, dim=1)


def _pixels(facts: Facts) -> torch.Tensor:
    """One image, or one clip where the config counts frames."""
    height, width = image_size(facts)
    channels = facts.find("num_channels", "in_channels", "in_chans", kind="vision", default=3)
    frames = facts.find("num_frames", kind="vision", default=None)
    shape = (1, frames, channels, height, width) if isinstance(frames, int) else (1, channels, height, width)
    return torch.zeros(shape, dtype=facts.dtype)


def _patches(facts: Facts) -> torch.Tensor:
    """The flattened patches of one image of PATCHES x PATCHES, as vision towers of dynamic resolution take them."""
    channels = facts.find("in_channels", "num_channels", "in_chans", kind="vision", default=3)
    area = facts.find("patch_size", kind="vision", default=14) ** 2
    frames = facts.find("temporal_patch_size", kind="vision", default=1)
    return torch.zeros((PATCHES**2, channels * frames * area), dtype=facts.dtype)


def _cut(pixels: torch.Tensor, facts: Facts) -> torch.Tensor:
    """How many patches each image is high and wide."""
    size = facts.find("patch_size", kind="vision", default=14)
    return torch.tensor([[pixels.shape[-2] // size, pixels.shape[-1] // size]] * len(pixels))


def _counts_frames(facts: Facts) -> int:
    """How many frames the config says an encoder of Whisper's kind takes, exactly; 0 if it says nothing."""
    positions = facts.find("max_source_positions", kind="audio", default=0)
    return 2 * positions if isinstance(positions, int) and facts.find("conv_channels", default=0) == 0 else 0


def _features(facts: Facts) -> torch.Tensor:
    """Audio features: frames last for Whisper and its like, else frames first."""
    bins = facts.find("num_mel_bins", kind="audio", default=80)
    if frames := _counts_frames(facts):
        return torch.zeros((1, bins, frames), dtype=facts.dtype)
    width = facts.find("feature_projection_input_dim", "input_feat_per_channel", kind="audio", default=bins)
    return torch.zeros((1, 128, width), dtype=facts.dtype)


def _waveform(facts: Facts) -> torch.Tensor:
    """One second of sound at 16 kHz, of one channel where the documentation counts them."""
    said = documented.read(facts.call.doc).get("input_values")
    between = len(said.dims) - 2 if said else 0
    return torch.zeros((1, *[1] * between, 16000), dtype=facts.dtype)


def _sound(facts: Facts) -> torch.Tensor:
    """Features where the config counts their bins, else the sound itself."""
    return _features(facts) if facts.find("num_mel_bins", kind="audio", default=None) else _waveform(facts)


def _mel(facts: Facts) -> torch.Tensor:
    """Frames of a spectrogram, as a speech decoder takes them."""
    return torch.zeros((1, 8, facts.find("num_mel_bins", default=80)), dtype=facts.dtype)


_MAKERS: Final[dict[str, Callable[[Facts], torch.Tensor]]] = {
    "input_ids": ids,
    "attention_mask": lambda facts: torch.ones((1, facts.length), dtype=torch.long),
    "position_ids": lambda facts: torch.arange(facts.length)[None],
    "token_type_ids": lambda facts: torch.zeros((1, facts.length), dtype=torch.long),
    "decoder_input_ids": _decoder_ids,
    "decoder_attention_mask": lambda facts: torch.ones_like(_decoder_ids(facts)),
    "qformer_input_ids": lambda facts: torch.tensor([[10, 11, 12, 13]]),
    "pixel_values": _pixels,
    "pixel_values_videos": _clip,
    "input_features": _features,
    "input_values": _waveform,
    "decoder_input_values": _mel,
    "bbox": boxes,
}
"""Argument of forward -> how to make it."""
_OF_KIND: Final[dict[str, Callable[[Facts], torch.Tensor]]] = {
    "image": _pixels, "video": _clip, "sound": _sound, "boxes": boxes,
}  # fmt: skip
"""What an argument carries -> how to make one of any other name."""


def _is_usual(name: str, facts: Facts) -> bool:
    """Whether to give an argument that forward could do without."""
    if name == "attention_mask":
        return _TEXT in facts.names
    if modality_of(name):
        return facts.feed != "text" and _is_fed(name, facts)
    if name in facts.processed:
        return facts.feed == "all"
    if name.startswith("decoder_"):
        return name in ("decoder_input_ids", "decoder_input_values") and facts.is_seq2seq
    return name == _TEXT


def _is_fed(name: str, facts: Facts) -> bool:
    """Whether an image, a clip, a sound or boxes are fed: all of them, or what surely stands beside a text."""
    kind = modality_of(name)
    alone = _TEXT not in facts.names or not _generates(facts)
    token = {"image": "image", "sound": "audio", "video": "video"}.get(kind, "")
    marked = bool(token) and facts.token(token) is not None
    if facts.feed == "all":
        return name in facts.processed or kind in ("image", "sound", "boxes") or (marked and not alone)
    return name in _PROCESSED and (alone or marked)  # beside a text, where it has a token that stands for the image


def _generates(facts: Facts) -> bool:
    """Whether what stands beside a text is read by a language model, and not compared with the text."""
    return any(name == "logits_to_keep" or name.startswith(("past_key", "cache")) for name in facts.names)
