"""Makes small inputs that a model's forward accepts, from its config and its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from analyzer.errors import AnalyzerError
from analyzer.findings import Assumption
from analyzer.loaders.applying import cast_floats, suggest
from analyzer.loaders.inputs_file import DEFAULT_NAME, read_inputs_file
from analyzer.loaders.labels import make_labels
from analyzer.plan import Plan

_EXAMPLE: Final = (
    f'write a file {DEFAULT_NAME}: "import torch", then "def inputs(config): return '
    "{{'{name}': torch.ones(1, 16, dtype=torch.long)}}\", and pass it with --inputs {file}"
)


@dataclass(frozen=True)
class Inputs:
    """Keyword arguments of forward, how to run them, and what was invented for them."""

    values: dict[str, Any] = field(default_factory=dict)
    run: Callable[[nn.Module, dict[str, Any]], Any] | None = None
    assumptions: tuple[Assumption, ...] = ()
    spare: tuple[str, ...] = ()
    """Names of values that were made for a loss, which the model may turn out not to take."""


def make_inputs(
    model: nn.Module, config: Any, plan: Plan, dtype: str, root: Path, *, file: Path | None, trust_remote_code: bool
) -> Inputs:
    """Inputs from the inputs file where there is one, else made up; float ones in `dtype` unless the plan says."""
    signature = inspect.signature(model.forward)
    own = root / DEFAULT_NAME
    notes: list[Assumption] = []
    if file is None and own.is_file():
        if trust_remote_code:
            file = own
        else:
            what = f"{DEFAULT_NAME} in the model folder"
            notes.append(Assumption(what, "not run without --trust-remote-code", DEFAULT_NAME))
    if file is not None:
        values, run = read_inputs_file(file, config, signature)
    else:
        values, run = _Maker(model, config, getattr(torch, dtype)).make(signature), None
        notes += [
            Assumption(f"input {name}", _shown(value))
            for name, value in values.items()
            if not (value.is_floating_point() and name in plan.input_dtypes)
        ]
        if "pixel_values" in signature.parameters and "pixel_values" not in values:
            notes.append(Assumption("input pixel_values", "none: text alone (an inputs file can give an image)"))
    spare: dict[str, Any] = {}
    if plan.train and run is None:
        spare = make_labels(model, config, signature, values, getattr(torch, dtype))
        notes += [Assumption(f"input {name}", _shown(value)) for name, value in spare.items()]
    given = {**values, **spare}
    if plan.inputs_to is not None:
        given = cast_floats(given, getattr(torch, plan.inputs_to))
    return Inputs(_override(given, plan.input_dtypes), run, tuple(notes), tuple(spare))


class _Maker:
    """Knows, for each usual argument of a forward, what a model with this config takes."""

    def __init__(self, model: nn.Module, config: Any, dtype: torch.dtype) -> None:
        self._model, self._config, self._dtype = model, config, dtype
        self._main = getattr(model, "main_input_name", "input_ids")
        limit = self._find("max_position_embeddings", "n_positions", default=16)
        self._length = min(16, limit) if isinstance(limit, int) and limit > 0 else 16

    def make(self, signature: inspect.Signature) -> dict[str, torch.Tensor]:
        """Arguments for every parameter that is required or usual."""
        values = {}
        names = [n for n, p in signature.parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        for name in names:
            required = signature.parameters[name].default is inspect.Parameter.empty
            if required and name not in _MAKERS:
                raise AnalyzerError(
                    f"cannot make up the argument '{name}' of {type(self._model).__name__}.forward",
                    hint=_EXAMPLE.format(name=name, file=DEFAULT_NAME),
                )
            if required or name == self._main or self._is_usual(name, names):
                values[name] = _MAKERS[name](self) if name in _MAKERS else None
        return {name: value for name, value in values.items() if value is not None}

    def ids(self) -> torch.Tensor:
        """Token ids without special ones, with as many image tokens as an image takes where that is known."""
        size = self._find("vocab_size", default=100)
        special = self._special
        ids = [i for i in (n % size for n in range(10, 10 + min(size, 200))) if i not in special][: self._length] or [0]
        row = (ids * self._length)[: self._length]
        if (count := self._image_tokens()) is not None:
            row = row[:4] + [self._image_token()] * count + row[4:]
        if type(self._model).__name__.endswith("ForSequenceClassification") and self._is_seq2seq():
            row[-1] = self._find("eos_token_id", default=0)
        return torch.tensor([row], dtype=torch.long)

    def mask(self) -> torch.Tensor:
        """All tokens count."""
        return torch.ones_like(self.ids())

    def decoder_ids(self) -> torch.Tensor:
        """Token ids for the decoder."""
        start = self._find("decoder_start_token_id", default=None)
        ids = self.ids()[:, :8]
        if isinstance(start, int):
            ids[0, 0] = start
        return ids

    def pixels(self) -> torch.Tensor:
        """One image, or one clip where the config counts frames."""
        size = self._find("image_size", "input_size", vision=True, default=224)
        if isinstance(size, dict):
            size = (size["height"], size["width"]) if "height" in size else next(iter(size.values()))
        height, width = (size, size) if isinstance(size, int) else (size[-2], size[-1])
        channels = self._find("num_channels", "in_channels", "in_chans", vision=True, default=3)
        frames = self._find("num_frames", vision=True, default=None)
        shape = (1, frames, channels, height, width) if isinstance(frames, int) else (1, channels, height, width)
        return torch.zeros(shape, dtype=self._dtype)

    def features(self) -> torch.Tensor:
        """Audio features: frames last for Whisper and its like, else frames first."""
        bins = self._find("num_mel_bins", default=80)
        if (positions := self._find("max_source_positions", default=None)) and self._find(
            "conv_channels", default=0
        ) == 0:
            return torch.zeros((1, bins, 2 * positions), dtype=self._dtype)
        width = self._find("feature_projection_input_dim", "input_feat_per_channel", default=bins)
        return torch.zeros((1, 128, width), dtype=self._dtype)

    def waveform(self) -> torch.Tensor:
        """One second of sound at 16 kHz, or a spectrogram."""
        if self._config.model_type == "audio-spectrogram-transformer":
            return torch.zeros((1, self._config.max_length, self._config.num_mel_bins), dtype=self._dtype)
        return torch.zeros((1, 16000), dtype=self._dtype)

    def mel(self) -> torch.Tensor:
        """Frames of a spectrogram, as a speech decoder takes them."""
        return torch.zeros((1, 8, self._find("num_mel_bins", default=80)), dtype=self._dtype)

    def _is_usual(self, name: str, names: list[str]) -> bool:
        """Whether to give an argument that forward could do without."""
        if name == "attention_mask":
            return "input_ids" in names
        if name == "pixel_values":  # an image inside the text needs as many image tokens as the model makes of it
            return "input_ids" not in names or self._image_token() is None or self._image_tokens() is not None
        if name.startswith("decoder_"):
            return name in ("decoder_input_ids", "decoder_input_values") and self._is_seq2seq()
        return name in ("input_ids", "input_features", "input_values") and not self._audio_in_text(name)

    def _audio_in_text(self, name: str) -> bool:
        return name != "input_ids" and self._find("audio_token_id", "audio_token_index", default=None) is not None

    def _is_seq2seq(self) -> bool:
        return bool(getattr(self._config, "is_encoder_decoder", False))

    def _image_token(self) -> Any:
        return self._find("image_token_id", "image_token_index", default=None)

    def _image_tokens(self) -> int | None:
        config = self._config
        if self._image_token() is None:
            return None
        for name in ("mm_tokens_per_image", "num_query_tokens"):
            if isinstance(count := getattr(config, name, None), int):
                return count
        if config.model_type == "llava":
            vision = config.vision_config
            extra = getattr(config, "vision_feature_select_strategy", "default") == "full"
            return int((vision.image_size // vision.patch_size) ** 2 + extra)
        return None

    @cached_property
    def _special(self) -> set[int]:
        found: set[int] = set()
        for name in ("pad", "eos", "bos", "sep", "cls", "unk", "mask", "image", "video", "audio"):
            value = self._find(f"{name}_token_id", f"{name}_token_index", default=None)
            found |= {v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, int)}
        return found

    def _find(self, *names: str, vision: bool = False, default: Any) -> Any:
        """The first of these attributes that the config or one of its parts has."""
        parts = ("text_config", "llm_config", "decoder", "audio_config", "encoder")
        own = [self._config, *(getattr(self._config, p, None) for p in parts)]
        seen = [getattr(self._config, p, None) for p in ("vision_config", "encoder")]
        for part in [*seen, *own] if vision else own:
            for name in names:
                value = part.get(name) if isinstance(part, dict) else getattr(part, name, None)
                if value is not None:
                    return value
        return default


_MAKERS: Final[dict[str, Callable[[_Maker], torch.Tensor]]] = {
    "input_ids": _Maker.ids,
    "attention_mask": _Maker.mask,
    "position_ids": lambda maker: torch.arange(maker.ids().shape[1])[None],
    "token_type_ids": lambda maker: torch.zeros_like(maker.ids()),
    "decoder_input_ids": _Maker.decoder_ids,
    "decoder_attention_mask": lambda maker: torch.ones_like(maker.decoder_ids()),
    "qformer_input_ids": lambda maker: torch.tensor([[10, 11, 12, 13]]),
    "pixel_values": _Maker.pixels,
    "input_features": _Maker.features,
    "input_values": _Maker.waveform,
    "decoder_input_values": _Maker.mel,
}
"""Argument of forward -> how to make it."""


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return str(value)


def _override(values: dict[str, Any], dtypes: dict[str, str]) -> dict[str, Any]:
    names: set[str] = set()

    def cast(value: Any, path: str) -> Any:
        if isinstance(value, torch.Tensor):
            names.add(path)
            hit = next((d for key, d in dtypes.items() if path == key or path.startswith(f"{key}.")), None)
            return value.to(getattr(torch, hit)) if hit else value
        if isinstance(value, dict):
            return {key: cast(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(cast(item, path) for item in value)
        return value

    changed: dict[str, Any] = cast(values, "")
    for key in dtypes:
        if not any(name == key or name.startswith(f"{key}.") for name in names):
            raise AnalyzerError(f"the model has no input '{key}' to set a dtype for", hint=suggest(key, names))
    return changed
