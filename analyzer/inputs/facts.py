"""What is known of a model before anything was tried: its config and the parts of it, its signature, its dtype."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import torch
from torch import nn

from analyzer.inputs.calls.calling import Call, call_of

_PARTS: Final = {
    "text": (
        "",
        "text_config",
        "llm_config",
        "decoder",
        "thinker_config",
        "language_config",
        "audio_config",
        "encoder",
    ),
    "vision": ("vision_config", "thinker_config", "encoder", "backbone_config", "", "text_config", "decoder"),
    "audio": ("audio_config", "audio_encoder_config", "encoder_config", "thinker_config", "encoder", "", "text_config"),
}
"""Kind of input -> where the config is asked, in order; "" is the config itself."""
Feed: TypeAlias = Literal["all", "usual", "text"]
"""What is fed beside a text: whatever the model takes, what a text surely stands beside, or nothing."""
_SPECIAL: Final = ("pad", "eos", "bos", "sep", "cls", "unk", "mask", "image", "video", "audio", "boi", "eoi")


@dataclass(frozen=True)  # no slots: cached_property needs a __dict__
class Facts:
    """A model with its config, and the float dtype that its inputs are made in."""

    model: nn.Module
    config: Any
    dtype: torch.dtype
    processed: Mapping[str, Any] = field(default_factory=dict)
    """What the folder's own processor makes of an image, a sound and a text, as it gives it."""
    feed: Feed = "all"
    driver: str = ""
    """The method that is called of a class without a forward, where it is not the first."""

    @cached_property
    def call(self) -> Call:
        """What a person would call."""
        return call_of(self.model, self.driver)

    @property
    def signature(self) -> inspect.Signature:
        """Of what is called."""
        return self.call.signature

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What forward can be given by name."""
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return tuple(n for n, p in self.signature.parameters.items() if p.kind in kinds)

    def takes(self, name: str) -> bool:
        """Whether forward can be given an argument, if only to hand it on."""
        return name in self.names or any(p.kind is p.VAR_KEYWORD for p in self.signature.parameters.values())

    @property
    def has_grid(self) -> bool:
        """Whether forward is told how many patches an image is wide and high."""
        return any(name.endswith("grid_thw") for name in self.names)

    def is_required(self, name: str) -> bool:
        """Whether forward cannot do without an argument."""
        return self.signature.parameters[name].default is inspect.Parameter.empty

    @cached_property
    def main(self) -> tuple[str, ...]:
        """What the class calls its main inputs."""
        named = getattr(self.model, "main_input_name", "input_ids")
        return (named,) if isinstance(named, str) else tuple(named)

    @cached_property
    def length(self) -> int:
        """How many tokens a text has."""
        return min(16, self.longest) or 16

    @cached_property
    def longest(self) -> int:
        """How many tokens a text has at most; 0 if the config does not say."""
        limit = self.find("max_position_embeddings", "n_positions", default=0)
        return max(limit, 0) if isinstance(limit, int) else 0

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids that no ordinary token has."""
        found: set[int] = set()
        for name in _SPECIAL:
            value = self.find(f"{name}_token_id", f"{name}_token_index", default=None)
            found |= {v for v in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(v, int)}
        return frozenset(found)

    def token(self, kind: str) -> int | None:
        """The id that stands for a piece of an "image", "video" or "audio" in a text."""
        names = [f"{kind}{middle}{end}" for end in ("_token_id", "_token_index") for middle in ("", "_soft", "_pad")]
        found = self.find(*names, default=None)
        return found if isinstance(found, int) else None

    @property
    def is_seq2seq(self) -> bool:
        """Whether a decoder is to be fed as well."""
        return bool(getattr(self.config, "is_encoder_decoder", False))

    def model_types(self, kind: str) -> Iterator[str]:
        """The model type, those of the parts that take a kind of input, and the one whose folder has the class."""
        for part in self._parts(kind, first=""):
            found = part.get("model_type") if isinstance(part, dict) else getattr(part, "model_type", None)
            if isinstance(found, str) and found:
                yield found
        # a part of a model has a type of its own, and what processes its inputs is listed under that of the whole
        package, _, rest = type(self.model).__module__.partition("transformers.models.")
        if rest and not package:
            yield rest.split(".")[0]

    def find(self, *names: str, kind: str = "text", default: object) -> Any:
        """The first of these attributes that the config or one of its parts has, for a kind of input."""
        for part in self._parts(kind):
            for name in names:
                value = part.get(name) if isinstance(part, dict) else getattr(part, name, None)
                if value is not None:
                    return value
        return default

    def _parts(self, kind: str, first: str | None = None) -> Iterator[Any]:
        keys = _PARTS[kind] if first is None else (first, *(key for key in _PARTS[kind] if key != first))
        outer = [self.config if key == "" else getattr(self.config, key, None) for key in keys]
        inner = [getattr(part, key, None) for part in outer if part is not self.config for key in keys if key]
        for part in (*outer, *inner):
            if part is not None and not isinstance(part, (str, int, float, list)):
                yield part
