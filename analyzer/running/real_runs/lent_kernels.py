"""Lets a half-precision model of another device run here: a kernel that the CPU lacks computes in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer import oracle
from analyzer.ir import walk


class LentKernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """An operator that the CPU has not in the one half dtype of its operands runs in float32, and is rounded back."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            return func(*args, **kwargs)
        except (RuntimeError, NotImplementedError) as error:
            floats = {t.dtype for t in walk.leaves((args, kwargs), torch.Tensor) if t.is_floating_point()}
            names = {str(dtype).removeprefix("torch.") for dtype in floats}
            if func._schema.is_mutable or not oracle.is_gap(oracle.words(error), names):
                raise
        (half,) = floats
        wide = walk.changed((args, kwargs), torch.Tensor, lambda t: t.float() if t.dtype == half else t)
        given = walk.changed(wide, torch.dtype, lambda dtype: torch.float32 if dtype == half else dtype)
        return walk.changed(
            func(*given[0], **given[1]), torch.Tensor, lambda t: t.to(half) if t.dtype == torch.float32 else t
        )
