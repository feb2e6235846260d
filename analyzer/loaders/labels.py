"""Makes the labels that a model's forward takes to give a loss, from the kind of its head."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn


def make_labels(
    model: nn.Module, config: Any, signature: inspect.Signature, given: dict[str, Any], dtype: torch.dtype
) -> dict[str, Any]:
    """Keyword arguments that `given` lacks and with which forward computes a loss; none where that is not known.

    Integer labels are int64; those of a regression are in `dtype`. A language model's labels are its tokens.
    """
    task = _Task(config, given, dtype)
    name = type(model).__name__
    makers = next((m for suffix, m in _HEADS.items() if name.endswith(suffix)), _LANGUAGE)
    made = {key: make(task) for key, make in makers.items() if key in signature.parameters and key not in given}
    return {key: value for key, value in made.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Task:
    config: Any
    given: dict[str, Any]
    dtype: torch.dtype

    def tokens(self) -> torch.Tensor | None:
        """The tokens whose prediction is learnt: the decoder's, where there is one."""
        return next((self.given[k] for k in ("decoder_input_ids", "input_ids") if k in self.given), None)

    def each(self) -> torch.Tensor:
        """A class for each example."""
        return torch.zeros(self._batch(), dtype=torch.long)

    def classes(self) -> torch.Tensor:
        """A class, a number, or some of several classes for each example, as the config says."""
        count, problem = getattr(self.config, "num_labels", 2), getattr(self.config, "problem_type", None)
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

    def sounds(self) -> torch.Tensor:
        """A few characters of speech."""
        return torch.ones((self._batch(), 4), dtype=torch.long)

    def _batch(self) -> int:
        return next((len(v) for v in self.given.values() if isinstance(v, torch.Tensor) and v.dim()), 1)


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
    "ForMultipleChoice": {"labels": _Task.each},
    "ForNextSentencePrediction": {"labels": _Task.each},
    "ForTokenClassification": {"labels": _Task.each_token},
    "ForQuestionAnswering": {"start_positions": _Task.each, "end_positions": _Task.each},
    "ForSemanticSegmentation": {"labels": _Task.each_pixel},
    "ForCTC": {"labels": _Task.sounds},
}
"""End of a class name -> what to make; transformers names its classes after their heads."""
