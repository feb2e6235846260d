"""Makes torch's Python side of autocast answer as on a machine that has the device that is meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch.amp import autocast_mode

from analyzer.capture.patching import patched

_ALIASES: Final = ("cpu", "meta")
"""What `x.device.type` says during a capture, whatever device is meant."""
_SET_ENABLED: Final = torch.set_autocast_enabled
_SET_DTYPE: Final = torch.set_autocast_dtype
_CLEAR: Final = torch.clear_autocast_cache
_DEVICES: Final = ("cpu", "cuda", "xpu")


@contextmanager
def present(device: str) -> Iterator[None]:
    """While this lasts, `torch.autocast(...)` objects are made as if `device` were there, whoever makes them."""
    make = autocast_mode.autocast.__init__

    def init(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        meant = device if device_type in _ALIASES else device_type
        with _there() if meant == device == "cuda" else ExitStack():
            make(self, meant, *args, **kwargs)
        self.was_given_in_presence = True  # what it was given is what it is

    with patched(
        autocast_mode.autocast, "__init__", init, why="Autocast switches itself off where the plan's device is missing."
    ):
        yield


@contextmanager
def standing_in(
    device: str, switched: Callable[[bool], None], cleared: Callable[[], None], note: Callable[[str, str], None]
) -> Iterator[None]:
    """While this lasts, autocast on `device` and on what tensors say they are on is one and the same.

    `switched` is told when it goes on or off, `cleared` when its kept casts end, `note` of what cannot be known.
    The queries (`torch.is_autocast_enabled` and the rest) need no help: torch's own state is kept for both.
    """
    both = dict.fromkeys([device, "cpu"])
    enter: Any = autocast_mode.autocast.__enter__
    cast = autocast_mode._cast

    def set_enabled(*args: Any) -> None:
        name, on = args if len(args) == 2 else ("cuda", args[0])
        if name not in (*both, *_ALIASES):
            return _SET_ENABLED(name, on)
        for one in both:
            _SET_ENABLED(one, on)
        return switched(on)

    def set_dtype(name: str, dtype: torch.dtype) -> None:
        for one in both if name in (*both, *_ALIASES) else (name,):
            _SET_DTYPE(one, dtype)

    def clear() -> None:
        cleared()
        _CLEAR()

    def entered(self: Any) -> object:
        if not hasattr(self, "was_given_in_presence") and not self._enabled and self.device == device != "cpu":
            note("an autocast region that was made before the trace, on a machine without the device", "off")
        return enter(self)

    def cast_of_custom_fwd(value: object, device_type: str, dtype: torch.dtype) -> object:
        if device_type == device != "cpu":
            value = cast(value, "cpu", dtype)
        return cast(value, device_type, dtype)

    legacy: dict[str, Callable[..., None]] = {
        "set_autocast_gpu_dtype": lambda dtype: set_dtype("cuda", dtype),
        "set_autocast_cpu_dtype": lambda dtype: set_dtype("cpu", dtype),
        "set_autocast_cpu_enabled": lambda on: set_enabled("cpu", on),
    }
    current: dict[str, Callable[..., None]] = {
        "set_autocast_enabled": set_enabled,
        "set_autocast_dtype": set_dtype,
        "clear_autocast_cache": clear,
    }
    with ExitStack() as stack:
        stack.enter_context(present(device))
        for name, function in {**current, **legacy}.items():
            stack.enter_context(
                patched(
                    torch, name, function,
                    what="torch.set_autocast_enabled, set_autocast_dtype, clear_autocast_cache, and the older names",
                    why="Autocast of the plan's device and of the CPU, where tensors are, have to be one and the same.",
                )
            )  # fmt: skip
        stack.enter_context(
            patched(
                autocast_mode.autocast, "__enter__", entered,
                why="The report notes a region that was made before the trace, and so without the device.",
            )
        )  # fmt: skip
        stack.enter_context(
            patched(
                autocast_mode, "_cast", cast_of_custom_fwd,
                why="`custom_fwd(cast_inputs=...)` casts tensors of one device, and here they are on the CPU.",
            )
        )  # fmt: skip
        set_dtype(device, torch.get_autocast_dtype(device))
        yield


@contextmanager
def clean_state() -> Iterator[None]:
    """Start with autocast off and nothing kept, as in a fresh process; put back what the caller had."""
    with kept_state():
        _deepen(-_depth())
        for device in _DEVICES:
            _SET_ENABLED(device, False)
        torch.set_autocast_cache_enabled(True)
        yield


@contextmanager
def kept_state() -> Iterator[None]:
    """Whatever happens to autocast while this lasts: put back what the caller had."""
    before = [(d, torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in _DEVICES]
    depth, keeps = _depth(), torch.is_autocast_cache_enabled()
    try:
        yield
    finally:
        for device, on, dtype in before:
            _SET_ENABLED(device, on)
            _SET_DTYPE(device, dtype)
        torch.set_autocast_cache_enabled(keeps)
        _deepen(depth - _depth())
        _CLEAR()


def _depth() -> int:
    torch.autocast_increment_nesting()
    return int(torch.autocast_decrement_nesting())


def _deepen(by: int) -> None:
    for _ in range(abs(by)):
        torch.autocast_increment_nesting() if by > 0 else torch.autocast_decrement_nesting()


@contextmanager
def _there() -> Iterator[None]:
    """What `torch.autocast("cuda")` asks of the machine while it is made."""
    why = '`torch.autocast("cuda")` asks the machine while it is made.'
    with (
        patched(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False, why=why),
        patched(torch.cuda, "is_bf16_supported", _yes, why=why),
    ):
        yield


def _yes(*_: object, **__: object) -> bool:
    return True
