"""A request as the command line that makes it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from analyzer.foreign.files import as_argument
from analyzer.worker.protocol import TraceRequest

_PLAIN: Final = {"device": "--device", "dtype": "--dtype", "to": "--to", "adapter": "--adapter",
                 "autocast": "--autocast", "scope": "--scope"}  # fmt: skip
_SWITCHES: Final = {"train": "--train", "autocast_adapter_dtype": "--no-autocast-adapter-dtype"}
_PAIRS: Final = {"set": "--set", "input_dtypes": "--input-dtype"}


def retyped(request: TraceRequest) -> tuple[str, ...]:
    """The words of `analyze trace` for a request, but for the release of transformers that it asks for.

    >>> retyped(TraceRequest("m", {"to": "bfloat16", "train": True}, trust_remote_code=True))
    ('analyze', 'trace', 'm', '--trust-remote-code', '--to', 'bfloat16', '--train')
    >>> retyped(TraceRequest("m", text_only=True))
    ('analyze', 'trace', 'm', '--only', 'text')
    """
    return ("analyze", "trace", as_argument(request.model), *_options(request))


def _options(request: TraceRequest) -> Iterator[str]:
    if request.trust_remote_code:
        yield "--trust-remote-code"
    for name, value in request.flags.items():
        if name in _PLAIN:
            yield from (_PLAIN[name], str(value))
        elif name in _PAIRS and isinstance(value, dict):
            yield from (word for one, dtype in value.items() for word in (_PAIRS[name], f"{one}={dtype}"))
        elif name in _SWITCHES:
            yield _SWITCHES[name]
    only = "text" if request.text_only else ""
    single = {"--only": only, "--stage": request.stage, "--plan": request.plan_file, "--inputs": request.inputs,
              "--steps": request.steps, "--python": request.python}  # fmt: skip
    lists = {"--recipe": request.recipes, "--stub": request.stubs, "--with": request.packages}
    yield from (word for name, text in single.items() if text for word in (name, text))
    yield from (word for name, texts in lists.items() for text in texts for word in (name, text))
