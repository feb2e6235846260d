"""Lets code that asks for a GPU run without one: its moves stay here, its questions are answered as there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any, Final

import torch

from analyzer.capture.patching import patched
from analyzer.ir.findings import Note

Asks = Callable[[Any], str]
"""Whose a frame is: OWN (of the model's code), of another who is to be answered as well, or "" (of nobody)."""
OWN: Final = "own"

_MOVED: Final = frozenset({"cuda", "pin_memory", "record_stream"})
"""Methods of tensors that change nothing but where they are, when they are."""
_PROPERTIES: Final = SimpleNamespace(
    name="NVIDIA H100", major=9, minor=0, total_memory=80 << 30, multi_processor_count=132, warp_size=32
)


def is_away(device: object) -> bool:
    """Whether this names a device that is no CPU and not "meta"."""
    if isinstance(device, torch.device):
        return device.type not in ("cpu", "meta")
    if isinstance(device, str):
        return device.split(":")[0] in ("cuda", "xpu", "npu", "mps", "hpu")
    return False


def stay(name: str, args: Any, kwargs: Any) -> tuple[bool, Any, Any]:
    """Whether a call of torch only moves its tensor away; else its arguments without the device that is not there.

    `.to("cuda")` is then done, and `.to("cuda", dtype)` is `.to(dtype)`.
    """
    if name in _MOVED and args and isinstance(args[0], torch.Tensor):
        return True, args, kwargs
    away = "device" in kwargs and is_away(kwargs["device"])
    if away:
        kwargs = {key: value for key, value in kwargs.items() if key != "device"}
    if name != "to":
        return False, args, kwargs
    if len(args) > 1 and (is_away(args[1]) or type(args[1]) is int):
        away, args = True, (args[0], *[arg for arg in args[2:3] if arg is not None])
    return away and len(args) == 1 and kwargs.get("dtype") is None, args, kwargs


@contextmanager
def answering(device: str, asks: Asks, note: Note) -> Iterator[None]:
    """While this lasts, frames that `asks` picks are told that there is one GPU, if the plan means one."""
    if device != "cuda":
        yield
        return
    with ExitStack() as stack:
        for name, answer in _ANSWERS.items():
            before = getattr(torch.cuda, name, None)
            if before is not None:
                asked = _asked(name, before, answer, asks, note)
                stack.enter_context(
                    patched(
                        torch.cuda, name, asked, what="torch.cuda.is_available, device_count, synchronize and the like",
                        why="The model's own code asks for a GPU that the plan has and this machine lacks.",
                    )
                )  # fmt: skip
        yield


def _asked(name: str, before: Any, answer: Any, asks: Asks, note: Note) -> object:
    def asked(*args: Any, **kwargs: Any) -> Any:
        who = asks(sys._getframe(1))
        if not who:
            return before(*args, **kwargs)
        value = answer(*args, **kwargs)
        if who == OWN and name in _TOLD:
            note(f"torch.cuda.{name}()", f"{value}, as on the plan's device")
        return value

    return asked


_TOLD: Final = ("is_available", "device_count", "get_device_capability", "is_bf16_supported")
_ANSWERS: Final[dict[str, Callable[..., object]]] = {
    "is_available": lambda *_, **__: True,
    "is_initialized": lambda *_, **__: True,
    "is_bf16_supported": lambda *_, **__: True,
    "device_count": lambda *_, **__: 1,
    "current_device": lambda *_, **__: 0,
    "get_device_name": lambda *_, **__: _PROPERTIES.name,
    "get_device_capability": lambda *_, **__: (_PROPERTIES.major, _PROPERTIES.minor),
    "get_device_properties": lambda *_, **__: _PROPERTIES,
    "mem_get_info": lambda *_, **__: (_PROPERTIES.total_memory, _PROPERTIES.total_memory),
    "memory_allocated": lambda *_, **__: 0,
    "max_memory_allocated": lambda *_, **__: 0,
    "memory_reserved": lambda *_, **__: 0,
    **dict.fromkeys(
        ("current_stream", "default_stream"),
        lambda *_, **__: SimpleNamespace(wait_stream=lambda _: None, synchronize=lambda: None),
    ),
    "stream": lambda *_, **__: nullcontext(),
    "device": lambda *_, **__: nullcontext(),
    **dict.fromkeys(
        ("empty_cache", "init", "ipc_collect", "manual_seed", "manual_seed_all", "reset_peak_memory_stats",
         "set_device", "synchronize"),
        lambda *_, **__: None,
    ),
}  # fmt: skip
"""Function of torch.cuda -> what it answers on a machine with one GPU, where the model's code asks."""
