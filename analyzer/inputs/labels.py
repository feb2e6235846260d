"""Makes the labels that a model's forward takes to give a loss, from the kind of its head."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from analyzer.inputs import documented
from analyzer.inputs.facts import Facts


def make_labels(
    model: nn.Module, config: object, signature: inspect.Signature, given: dict[str, object], dtype: torch.dtype
) -> dict[str, object]:
    """Keyword arguments that `given` lacks and with which forward computes a loss; none where that is not known.

    Integer labels are int64; those of a regression are in `dtype`. A language model's labels are its tokens, unless
    its documentation gives them more dimensions.
    """
    task = _Task(Facts(model, config, dtype), given)
    name = type(model).__name__
    makers = next((m for head, m in _HEADS.items() if head in name), _LANGUAGE)
    made = {key: make(task) for key, make in makers.items() if key in signature.parameters and key not in given}
    return {key: value for key, value in made.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Task:
    facts: Facts
    given: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        return self.facts.dtype

    def tokens(self) -> torch.Tensor | None:
        """The tokens whose prediction is learnt, the decoder's where there is one; else what is documented."""
        if self._said is not None and len(self._said.dims) > _OF_TOKENS:
            return documented.make("labels", self._said, self.facts)
        return next((self.given[k] for k in ("decoder_input_ids", "input_ids") if k in self.given), None)

    @property
    def _said(self) -> documented.Documented | None:
        return documented.read(self.facts.call.doc).get("labels")

    def as_documented(self) -> torch.Tensor:
        """Labels of the shape that the documentation gives them, else a class for each example; a decoder's tokens."""
        if "decoder_input_ids" in self.given:
            return self.given["decoder_input_ids"]  # type: ignore[no-any-return]
        return documented.make("labels", self._said, self.facts) if self._said and self._said.dims else self.each()

    def each(self) -> torch.Tensor:
        """A class for each example."""
        return torch.zeros(self._batch(), dtype=torch.long)

    def classes(self) -> torch.Tensor:
        """A class, a number, or some of several classes for each example, as the config says."""
        count, problem = getattr(self.facts.config, "num_labels", 2), getattr(self.facts.config, "problem_type", None)
        if problem == "multi_label_classification":
            return torch.zeros((self._batch(), count), dtype=self.dtype)
        if problem == "regression" or (problem is None and count == 1):
            return torch.zeros(self._batch(), dtype=self.dtype)
        return self.each()

    def each_token(self) -> torch.Tensor | None:
        """A class for each token."""
        tokens = self.tokens()
        return None if tokens is None else torch.zeros_like(tokens)

    def each_pixel(self) -> torch.Tensor | None:
        """A class for each pixel."""
        pixels = self.given.get("pixel_values")
        return None if pixels is None else torch.zeros((self._batch(), *pixels.shape[-2:]), dtype=torch.long)

    def depths(self) -> torch.Tensor | None:
        """A distance for each pixel."""
        pixels = self.given.get("pixel_values")
        return None if pixels is None else torch.ones((self._batch(), *pixels.shape[-2:]), dtype=self.dtype)

    def each_frame(self) -> torch.Tensor:
        """Whether each of several speakers speaks, for each frame of a sound."""
        count = getattr(self.facts.config, "num_labels", 2)
        return torch.ones((self._batch(), self.facts.length, count), dtype=self.dtype)

    def objects(self) -> list[dict[str, torch.Tensor]]:
        """One object in each picture: its class, its box, and its mask where that is learnt as well."""
        named = type(self.facts.model).__name__
        box = {
            "class_labels": torch.zeros(1, dtype=torch.long),
            "boxes": torch.full((1, 4), 0.5, dtype=self.dtype),
        }
        masks = self.masks() if "Segmentation" in named else None
        return [box | ({"masks": masks[i]} if masks else {}) for i in range(self._batch())]

    def masks(self) -> list[torch.Tensor] | None:
        """A mask of one object for each picture."""
        pixels = self.given.get("pixel_values")
        return None if pixels is None else [torch.ones((1, *pixels.shape[-2:]), dtype=self.dtype)] * self._batch()

    def masked(self) -> list[torch.Tensor]:
        """The class of that object."""
        return [torch.zeros(1, dtype=torch.long)] * self._batch()

    def sounds(self) -> torch.Tensor:
        """A few characters of speech."""
        return torch.ones((self._batch(), 4), dtype=torch.long)

    def _batch(self) -> int:
        return next((len(v) for v in self.given.values() if isinstance(v, torch.Tensor) and v.dim()), 1)


_OF_TOKENS: Final = 2
"""Dimensions of the labels of tokens."""
_Makers = dict[str, Callable[[_Task], Any]]
_CLASSES: Final[_Makers] = {"labels": _Task.classes}
_LANGUAGE: Final[_Makers] = {
    "labels": _Task.tokens,
    "next_sentence_label": _Task.each,
    "return_loss": lambda task: True,
}
_HEADS: Final[dict[str, _Makers]] = {
    "ForSequenceClassification": _CLASSES,
    "ForImageClassification": _CLASSES,
    "ForVideoClassification": _CLASSES,
    "ForAudioClassification": _CLASSES,
    "ForAudioFrameClassification": {"labels": _Task.each_frame},
    "ForXVector": {"labels": _Task.each},
    "ForMultipleChoice": {"labels": _Task.each},
    "ForNextSentencePrediction": {"labels": _Task.each},
    "ForTokenClassification": {"labels": _Task.each_token},
    "ForQuestionAnswering": {
        "start_positions": _Task.each,
        "end_positions": _Task.each,
        "labels": _Task.as_documented,
    },
    "ForSemanticSegmentation": {"labels": _Task.each_pixel},
    "ForDepthEstimation": {"labels": _Task.depths},
    "ForObjectDetection": {"labels": _Task.objects},
    "DetrForSegmentation": {"labels": _Task.objects},
    "DetrForInstanceSegmentation": {"labels": _Task.objects},
    "ForInstanceSegmentation": {"mask_labels": _Task.masks, "class_labels": _Task.masked},
    "ForUniversalSegmentation": {"mask_labels": _Task.masks, "class_labels": _Task.masked},
    "ForCTC": {"labels": _Task.sounds},
}
"""Part of a class name -> what to make; transformers names its classes after their heads."""
