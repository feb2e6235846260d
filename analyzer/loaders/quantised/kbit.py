"""Lets peft see the stand-ins of bitsandbytes' layers as those layers, so that it wraps them in its own for k bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Final

from torch import nn

from analyzer.capture.patching import patched
from analyzer.loaders.quantised.layer import StandIn, named

_NAMES: Final = ("Linear4bit", "Linear8bitLt")


@contextmanager
def known_to_peft(model: nn.Module) -> Iterator[bool]:
    """For the time in which peft wraps layers; gives whether peft can treat them as what they stand for.

    peft asks three things: `model.is_loaded_in_4bit`, whether a layer is an instance of `bitsandbytes.nn.Linear4bit`
    (or `Linear8bitLt`), and the settings that those carry (peft 0.21, tuners/lora/bnb.py). Without bitsandbytes it
    wraps them as plain linear layers, whose casts differ.
    """
    held = [part for part in model.modules() if isinstance(part, StandIn) and type(part).__name__ in _NAMES]
    if not held or not find_spec("bitsandbytes"):
        yield not held
        return
    import bitsandbytes as bnb

    for part in held:
        _lend(part)
    owner: Any = model
    owner.is_loaded_in_4bit = any(type(part).__name__ == "Linear4bit" for part in held)
    owner.is_loaded_in_8bit = not owner.is_loaded_in_4bit
    with ExitStack() as stack:
        for name in _NAMES:
            stack.enter_context(
                patched(
                    bnb.nn, name, named(name), what="bitsandbytes.nn.Linear4bit, Linear8bitLt",
                    why="peft wraps our stand-ins in its layers for k bits only where they are instances of these.",
                )
            )  # fmt: skip
        yield True


def _lend(part: StandIn) -> None:
    """What peft hands on to its own layer; nothing of it changes a dtype."""
    lent: Any = part
    lent.compute_dtype = lent.index = None
    lent.state = SimpleNamespace(has_fp16_weights=False, threshold=part.settings.get("llm_int8_threshold", 6.0))
    lent.weight.compress_statistics, lent.weight.quant_type = None, part.settings.get("bnb_4bit_quant_type", "fp4")
