"""Tokenizers and feature extractors that need no vocabulary: they give tensors of the right shape and dtype."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from analyzer.errors import AnalyzerError
from analyzer.loaders.files.json_files import read_settings

_WORDS: Final = 6
"""Tokens that any text has, its ends included."""
_LONGEST: Final = 512


class StandInTokenizer:
    """Turns any text into the same few ids, padded as it is asked to."""

    def __init__(self, folder: Path) -> None:
        settings = _settings(folder / "tokenizer_config.json")
        self.model_max_length = _number(settings.get("model_max_length") or 77, f"{folder}: model_max_length")
        self.vocab_size, self._ends = 1000, (0, 1)
        self.added_tokens_encoder: dict[str, int] = {}

    def know(self, config: object) -> None:
        """Keep to the vocabulary, the length and the special ids of the encoder with this config."""
        if config is None:
            return
        self.vocab_size = int(getattr(config, "vocab_size", 1000))
        positions = getattr(config, "max_position_embeddings", None)
        self.model_max_length = min(self.model_max_length, positions or _LONGEST) if positions else _LONGEST
        end = getattr(config, "eos_token_id", None)
        start = getattr(config, "bos_token_id", None)
        last = self.vocab_size - 1
        self._ends = (start if isinstance(start, int) else last - 1, end if isinstance(end, int) else last)
        self._ends = (min(self._ends[0], last), min(self._ends[1], last))

    def __call__(
        self, text: Any, *_: object, padding: object = False, max_length: int | None = None, **__: object
    ) -> Any:
        """Ids and mask of [texts, tokens], int64."""
        from transformers import BatchEncoding

        rows = 1 if isinstance(text, str) else len(text)
        words = [self._ends[0], *[2 + i % max(1, self.vocab_size - 4) for i in range(_WORDS - 2)], self._ends[1]]
        length = (max_length or self.model_max_length) if padding in ("max_length",) else len(words)
        ids = (words + [self._ends[1]] * length)[:length]
        mask = ([1] * len(words) + [0] * length)[:length]
        return BatchEncoding({"input_ids": torch.tensor([ids] * rows), "attention_mask": torch.tensor([mask] * rows)})

    def batch_decode(self, ids: Any, *_: object, **__: object) -> list[str]:
        """Nothing: no text is known."""
        return [""] * len(ids)

    def decode(self, *_: object, **__: object) -> str:
        """Nothing: no text is known."""
        return ""

    def tokenize(self, text: str, *_: object, **__: object) -> list[str]:
        """The words as they stand."""
        return text.split()

    def __len__(self) -> int:
        return self.vocab_size


class StandInExtractor:
    """Turns any pictures into float32 pixels of the size that its config names."""

    def __init__(self, folder: Path) -> None:
        settings = _settings(folder / "preprocessor_config.json")
        self.size = _number(settings.get("crop_size") or settings.get("size") or 224, f"{folder}: the size of images")

    def __call__(self, images: object = None, *_: object, **__: object) -> Any:
        """Pixels of [pictures, 3, size, size], float32."""
        from transformers import BatchFeature

        number = len(images) if isinstance(images, (list, tuple)) else 1
        return BatchFeature({"pixel_values": torch.zeros(number, 3, self.size, self.size)})


def _settings(file: Path) -> dict[str, Any]:
    return read_settings(file) if file.is_file() else {}


def _number(value: object, where: str) -> int:
    """A positive number, or an object of numbers of which one is. Raises AnalyzerError for what is none."""
    if isinstance(value, dict):
        value = value.get("height") or value.get("shortest_edge") or value.get("longest_edge")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1:
        return int(min(value, 1 << 20))
    raise AnalyzerError(f"{where} is {value!r}, no positive number", hint="download or save the file again")
