"""Sets the ids of tokens that a class leaves open until its tokenizer is known, as its own `chat` would."""

from __future__ import annotations

from typing import Final

from torch import nn

from analyzer.inputs.facts import Facts
from analyzer.ir.findings import Assumption

_ENDINGS: Final = ("_token_id", "_token_index")


def set_tokens(facts: Facts) -> list[Assumption]:
    """Give each attribute of the model that names a token and is None the last ids of the vocabulary; what was set."""
    size = facts.find("vocab_size", default=None)
    model: nn.Module = facts.model
    open_ones = [name for name, value in vars(model).items() if name.endswith(_ENDINGS) and value is None]
    if not isinstance(size, int) or size <= len(open_ones):
        return []
    for number, name in enumerate(open_ones, 1):
        setattr(model, name, size - number)
    cls = type(model).__name__
    return [Assumption(f"{cls}.{name}, which its tokenizer tells", str(getattr(model, name))) for name in open_ones]
