"""Refuses a module that FSDP has wrapped: its code moves memory that a traced tensor has not."""

from __future__ import annotations

from typing import Final

from torch import nn

from analyzer.errors import AnalyzerError

_WRAPPERS: Final = frozenset({"FSDPModule", "FullyShardedDataParallel"})


def refuse_sharded(module: nn.Module) -> None:
    """Raise AnalyzerError if the module, or a part of it, is one of FSDP's."""
    for path, part in module.named_modules():
        if any(kind.__name__ in _WRAPPERS and kind.__module__.startswith("torch.") for kind in type(part).__mro__):
            raise AnalyzerError(
                f"FSDP has wrapped {path or 'the model'}",
                hint="trace the model before it is wrapped, with FSDP in the plan (--recipe, or Plan(training=...))",
            )
