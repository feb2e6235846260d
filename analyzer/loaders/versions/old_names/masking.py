"""Functions of `transformers.masking_utils` by the names of arguments that 4.53 to 4.57 gave them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Final

from analyzer.loaders.versions.old_names.lending import Lender

_CAUSAL: Final = ("config", "input_embeds", "attention_mask", "cache_position", "past_key_values", "position_ids")
FUNCTIONS: Final = (
    "create_causal_mask", "create_sliding_window_causal_mask", "create_chunked_causal_mask",
    "create_bidirectional_mask", "create_masks_for_generate",
)  # fmt: skip
_RENAMED: Final = {"input_embeds": "inputs_embeds", "past_key_values": "cache"}


def lend(masking_utils: Any, lender: Lender) -> None:
    """Let own code call the functions as then."""
    for name in FUNCTIONS:
        if (found := vars(masking_utils).get(name)) is not None:
            lender.put(masking_utils, name, _as_then(found, lender))


def _as_then(original: Any, lender: Lender) -> Callable[..., Any]:
    now = inspect.signature(original).parameters

    @functools.wraps(original)
    def create(*args: Any, **kwargs: Any) -> Any:
        by_place = len(args) > 3 and "cache_position" not in now
        if not (by_place or {"input_embeds", "cache_position", "past_key_values"} & set(kwargs)):
            return original(*args, **kwargs)
        lender.note(f"{original.__name__} by older names of its arguments", "as then; positions follow from the cache")
        given = dict(zip(_CAUSAL if by_place else tuple(now), args, strict=False)) | kwargs
        given = {
            _RENAMED.get(name, name) if _RENAMED.get(name) in now else name: value for name, value in given.items()
        }
        given.pop("cache_position", None)
        if "cache" in now:
            given.setdefault("cache", None)
        return original(**given)

    return create
