"""Sets the ids of tokens that a class leaves open until its tokenizer is known, as its own `chat` would."""

from __future__ import annotations

from typing import Final

from torch import nn

from analyzer.inputs.facts import Facts
from analyzer.ir.findings import Assumption

_COUNTS: Final = (
    "num_image_token", "num_image_tokens", "num_img_tokens", "image_seq_length", "image_seq_len", "query_num",
    "num_query_token", "num_queries",
)  # fmt: skip
"""What models and configs call the number of tokens that an image becomes."""
_MOST: Final = 4096
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


def opened_token(facts: Facts, *words: str) -> int | None:
    """The id that an attribute of the model holds whose name has one of these words."""
    held = ((name, value) for name, value in vars(facts.model).items() if name.endswith(_ENDINGS))
    found = (value for name, value in held if any(word in name for word in words) and type(value) is int)
    return next(found, None)


def features_of_image(facts: Facts) -> int:
    """How many tokens an image becomes, as the model or its config says; 0 where neither does."""
    named = (getattr(facts.model, name, None) or facts.find(name, default=None) for name in _COUNTS)
    return next((count for count in named if type(count) is int and 0 < count <= _MOST), 0)
