"""cuFFT transforms half precision only where every transformed size is a power of two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from analyzer.ir.graph import Spec
from analyzer.ir.witness import Witness

_TRANSFORMS: Final = ("aten._fft_r2c.default", "aten._fft_c2c.default", "aten._fft_c2r.default")
_HALVES: Final = ("float16", "complex32")
_READ: Final = "aten/src/ATen/native/cuda/CuFFTPlanCache.h, CuFFTConfig"


def find(device: str, op: str, args: Sequence[Any]) -> tuple[str, Witness] | None:
    """The words in which CUDA refuses the sizes of a transform in half precision, and where they are read.

    >>> signal = Spec("float16", (2, 400))
    >>> find("cuda", "aten._fft_r2c.default", (signal, (1,), 0, True))[0][-29:]
    'but got a signal size of[400]'
    """
    if device != "cuda" or op not in _TRANSFORMS or not isinstance(args[0], Spec) or args[0].dtype not in _HALVES:
        return None
    sizes = [args[0].shape[dim] for dim in args[1]]
    if op == "aten._fft_c2r.default":  # which is told how many real numbers it gives
        sizes[-1] = args[3]
    if all(size > 0 and size & (size - 1) == 0 for size in sizes):
        return None
    words = (
        "cuFFT only supports dimensions whose sizes are powers of two when computing in half precision, "
        f"but got a signal size of{sizes}"
    )
    return words, Witness.of_device(device, "from source", _READ)
