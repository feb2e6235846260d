"""Why one run of a case has operations that the other has not: (model, a part of each such line) -> the reason."""

from __future__ import annotations

from typing import Final

_FORMATTED: Final = (
    "the model checks the number of image tokens and formats it into the message that a failing check would have; "
    "formatting a tensor of no dimension detaches it first (torch/_tensor.py, `__format__`), which an abstract tensor "
    "does not: one `aten.detach` of an int64 is missing from the trace, and shifts the sequence by one"
)
_CACHED: Final = (
    "the class keeps a table of positions in a cache of the process; the real run fills it and the trace that follows "
    "in the same process finds it there, so those integer operations run once"
)

EXPLAINED: Final[dict[tuple[str, str], str]] = {
    ("LlavaForConditionalGeneration", "aten.detach.default at transformers/models"): _FORMATTED,
    ("PaliGemmaForConditionalGeneration", "aten.detach.default at transformers/models"): _FORMATTED,
    ("Qwen2VLForConditionalGeneration", "aten.detach.default at transformers/models"): _FORMATTED,
    ("Qwen2_5_VLForConditionalGeneration", "aten.detach.default at transformers/models"): _FORMATTED,
    ("SmolVLMForConditionalGeneration", "aten.detach.default at transformers/models"): _FORMATTED,
    ("BeitForImageClassification", "modeling_beit.py:2"): _CACHED,
}
