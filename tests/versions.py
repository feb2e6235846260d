"""What a test has to write differently for transformers 4 and 5."""

from __future__ import annotations

from typing import Any

import pytest
import transformers
from transformers import modeling_utils

VERSION = tuple(int(part) for part in transformers.__version__.split(".")[:2])
FIVE = VERSION >= (5, 0)


five = pytest.mark.skipif(not FIVE, reason="written against transformers 5")
images = VERSION >= (4, 46)
"""Before, Llava takes one token for a whole image."""
copies = pytest.mark.skipif(
    hasattr(modeling_utils, "check_support_param_buffer_assignment"),
    reason="this transformers takes tensors as the checkpoint stores them, so that the fault does not arise",
)


def asked(dtype: Any) -> dict[str, Any]:
    """The keyword of `from_pretrained` for a dtype; None: as the config says, the default of transformers 5 alone."""
    return {"dtype" if VERSION >= (4, 56) else "torch_dtype": dtype or "auto"}
