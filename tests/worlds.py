"""What a test has to write differently for transformers 4 and 5."""

from __future__ import annotations

from typing import Any

import transformers

VERSION = tuple(int(part) for part in transformers.__version__.split(".")[:2])
FIVE = VERSION >= (5, 0)


def asked(dtype: Any) -> dict[str, Any]:
    """The keyword of `from_pretrained` for a dtype; None: as the config says, the default of transformers 5 alone."""
    return {"dtype" if VERSION >= (4, 56) else "torch_dtype": dtype or "auto"}
