"""Inputs of another kind than a model is meant to get: integers for floats, floats for ids, masks as numbers, bytes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
import transformers as hf
from torch import nn

from tests.truth.entry import Entry

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Kind:
    """`change` gives a module's inputs in another kind; `fits` tells of inputs and a forward whether there are such."""

    change: Callable[[Inputs, Any], Inputs]
    fits: Callable[[Inputs, frozenset[str]], bool]

    def suits(self, entry: Entry) -> bool:
        """Whether a model has the inputs that are changed."""
        return self.fits(entry.inputs, frozenset(inspect.signature(getattr(hf, entry.cls).forward).parameters))


def _integers_for_floats(inputs: Inputs, module: nn.Module) -> Inputs:
    """Floats as int64; where a model has none, int64 embeddings in the place of its ids."""
    if _has_floats(inputs):
        return {k: (t * 4).long() if t.is_floating_point() else t for k, t in inputs.items()}
    table = module.get_input_embeddings()  # type: ignore[operator]
    rest = {k: t for k, t in inputs.items() if k != "input_ids"}
    ids = inputs["input_ids"]
    return rest | {"inputs_embeds": ids[..., None].expand(*ids.shape, table.weight.shape[1]).clone()}


def _bytes(inputs: Inputs, _: nn.Module) -> Inputs:
    return {k: (t.abs() * 40).to(torch.uint8) if _is_image(k) else t for k, t in inputs.items()}


def _ids_in(dtype: torch.dtype) -> Callable[[Inputs, nn.Module], Inputs]:
    return lambda inputs, _: {k: t.to(dtype) if _is_index(k) else t for k, t in inputs.items()}


def _mask_in(dtype: torch.dtype) -> Callable[[Inputs, nn.Module], Inputs]:
    """The attention mask, or one of ones where none is given."""

    def change(inputs: Inputs, _: nn.Module) -> Inputs:
        like = inputs.get("input_ids", next(iter(inputs.values())))
        return inputs | {"attention_mask": inputs.get("attention_mask", torch.ones(like.shape)).to(dtype)}

    return change


def _has_floats(inputs: Inputs) -> bool:
    return any(t.is_floating_point() for t in inputs.values())


def _is_index(name: str) -> bool:
    return name.endswith("input_ids")


def _is_image(name: str) -> bool:
    return name.startswith("pixel_values")


def _has_ids(inputs: Inputs, _: frozenset[str]) -> bool:
    return any(map(_is_index, inputs))


def _takes_mask(inputs: Inputs, taken: frozenset[str]) -> bool:
    like = inputs.get("input_ids", inputs.get("input_values"))
    return "attention_mask" in taken and like is not None and like.dim() == 2


INTEGERS: Final = Kind(
    _integers_for_floats, lambda inputs, taken: _has_floats(inputs) or {"inputs_embeds", "input_ids"} <= taken
)
FLOAT_IDS: Final = Kind(_ids_in(torch.float32), _has_ids)
SHORT_IDS: Final = Kind(_ids_in(torch.int32), _has_ids)
BYTES: Final = Kind(_bytes, lambda inputs, taken: any(map(_is_image, inputs)))
BOOL_MASK: Final = Kind(_mask_in(torch.bool), _takes_mask)
NUMBER_MASK: Final = Kind(_mask_in(torch.float32), _takes_mask)
