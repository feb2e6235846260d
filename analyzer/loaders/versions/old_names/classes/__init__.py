"""Classes of the library's models: taken, called and made as older releases let one."""

from __future__ import annotations

import inspect
from typing import Any

from analyzer.loaders.versions.old_names.classes import calls, members, rotary
from analyzer.loaders.versions.old_names.classes.constructors import old_style as made_old_style
from analyzer.loaders.versions.old_names.classes.gone import stand_in
from analyzer.loaders.versions.old_names.classes.signatures import old
from analyzer.loaders.versions.old_names.lending import Lender

__all__ = ["adapt", "stand_in"]
_DONE = "_lent_old_style"


def adapt(module: Any, lender: Lender) -> None:
    """Let own code use the classes of a model's module as older releases did, once for as long as this is lent."""
    parts = str(getattr(module, "__name__", "")).split(".")
    if parts[:2] != ["transformers", "models"] or len(parts) < 4 or _DONE in vars(module):
        return
    lender.put(module, _DONE, True)
    known = old(parts[2])
    defined = [one for one in vars(module).values() if isinstance(one, type)]
    made: list[Any] = [one for one in defined if one.__module__ == module.__name__]
    for cls in made:
        members.lend(cls, parts[2], lender)
        if cls.__name__.endswith("RotaryEmbedding") and "dim" not in inspect.signature(cls.__init__).parameters:
            lender.put(cls, "__init__", rotary.made_by_numbers(cls.__init__, lender))
            lender.put(cls, "forward", rotary.by_length(cls.forward, lender))
            continue
        if forms := known.get((cls.__name__, "forward")):
            lender.put(cls, "forward", calls.old_style(cls, forms, cls.forward, lender))
        if forms := known.get((cls.__name__, "__init__")):
            lender.put(cls, "__init__", made_old_style(cls, forms, cls.__init__, lender))
    if applied := vars(module).get("apply_rotary_pos_emb"):
        lender.put(module, "apply_rotary_pos_emb", rotary.applied_by_positions(applied, lender))
