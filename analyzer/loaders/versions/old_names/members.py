"""Attributes and methods that older transformers gave its classes: put back while remote code runs, each said once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from analyzer.capture.emulation.cuda import Asks
from analyzer.capture.patching import patched
from analyzer.ir.findings import Note
from analyzer.loaders.versions.old_names import caches, configs, masking, models
from analyzer.loaders.versions.old_names.lending import Lender
from analyzer.loaders.versions.old_names.outputs import as_declared


def is_five() -> bool:
    """Whether transformers 5 is installed, whose classes lack what is lent to them here."""
    import transformers

    return int(transformers.__version__.split(".")[0]) >= 5


@contextmanager
def restored(note: Note, asks: Asks, release: tuple[int, ...] = ()) -> Iterator[None]:
    """While this lasts, transformers' classes have what they had in 4.57, as far as something faithful is known.

    Defaults of a config are there for frames that `asks` picks: others have their own ideas of them.
    """
    if not is_five():
        yield  # these have them
        return
    from transformers import cache_utils, masking_utils, modeling_rope_utils

    with ExitStack() as stack:
        lender = Lender(stack, note, asks, release)
        configs.lend(lender)
        models.lend(lender)
        for kind, members in caches.MEMBERS.items():
            for name, value in members.items():
                lender.lend(getattr(cache_utils, kind), name, _noting(value, f"{kind}.{name}", note))
        for kind, made in caches.FROM_LEGACY.items():
            lender.lend(getattr(cache_utils, kind), "from_legacy_cache", caches.from_legacy(kind, made, note))
        caches.changed(cache_utils, lender)
        masking.lend(masking_utils, lender)
        stack.enter_context(as_declared(note))
        rope = modeling_rope_utils.ROPE_INIT_FUNCTIONS
        if "default" not in rope:
            stack.enter_context(
                patched(
                    rope, "default", _rope(note), what="transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS",
                    why="Old code looks the plain rotary frequencies up there.", versions="transformers 5",
                )
            )  # fmt: skip
        yield


def _rope(note: Note) -> object:
    def default(config: Any = None, device: Any = None, seq_len: int | None = None, **kwargs: Any) -> tuple[Any, float]:
        note('ROPE_INIT_FUNCTIONS["default"], which the installed transformers lacks', "plain rotary frequencies")
        given = getattr(config, "rope_parameters", None) or {}
        base = kwargs.get("base") or getattr(config, "rope_theta", None) or given.get("rope_theta", 10000.0)
        size = kwargs.get("dim")
        if size is None:
            head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
            size = int(head * getattr(config, "partial_rotary_factor", given.get("partial_rotary_factor", 1.0)))
        steps = torch.arange(0, size, 2, dtype=torch.int64).to(device=device, dtype=torch.float)
        return 1.0 / (base ** (steps / size)), 1.0

    return default


def _noting(value: object, what: str, note: Note) -> object:
    if not callable(value):
        return value

    def called(*args: object, **kwargs: object) -> Any:
        note(f"{what}, which the installed transformers lacks", "as 4.57 did it")
        return value(*args, **kwargs)

    return called
