"""Compares a run in narrow dtypes with the same run in float64: near enough, and finite where that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Final

import torch

from analyzer.ir.dtypes import real_part

_TIMES: Final = 8
"""How many units of the narrowest dtype two runs may be apart before it is asked how far rounding alone takes them."""
_LEAST: Final = 1e-3
_MASKED: Final = 1e30
"""What is larger in float64 stands for minus infinity, or for a number that means nothing."""


def digits_of(dtypes: Iterable[str]) -> int:
    """The binary digits of the narrowest float dtype; those of float32 where there is none."""
    found = [getattr(torch, real_part(name)) for name in dtypes if hasattr(torch, real_part(name))]
    sizes = [torch.finfo(dtype).eps for dtype in found if dtype.is_floating_point and _has_limits(dtype)]
    return max(2, round(1 - torch.log2(torch.tensor(max(sizes, default=2.0**-23))).item()))


def missing(found: Mapping[str, torch.Tensor], truth: Mapping[str, torch.Tensor]) -> str:
    """Which tensor of the run in float64 is not there, or has another shape, in words; "" if none."""
    for name, true in truth.items():
        if name not in found:
            return f"does not write {name}" if name.startswith("buffer ") else f"gives no {name}"
        if found[name].shape != true.shape:
            return f"gives {name} in another shape"
    return ""


def not_finite(found: Mapping[str, torch.Tensor], truth: Mapping[str, torch.Tensor]) -> str:
    """Which tensor holds NaN or infinity where the run in float64 has a number, in words; "" if none does."""
    for name, one, true in _pairs(found, truth):
        if isfinite(one.norm().item()):
            continue
        bad = ~torch.isfinite(one) & torch.isfinite(true) & (true.abs() <= _MASKED)
        if bool(bad.any()):
            return f"gives {'NaN' if bool(one[bad].isnan().any()) else 'infinity'} in {name}, where float64 has none"
    return ""


def distances(found: Mapping[str, torch.Tensor], truth: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """How far apart two runs are, by tensor, as a part of the float64 run: by norm or in one number, what is more.

    The norm tells what is off everywhere, one number what is wrong in one row. What is masked in float64, or not
    finite, is left out.
    """
    apart = {}
    for name, one, true in _pairs(found, truth):
        off = one - true
        size = true.norm().item()
        if not isfinite(size + off.norm().item()) or size > _MASKED:
            ok = torch.isfinite(true) & torch.isfinite(one) & (true.abs() <= _MASKED)
            true, off = torch.where(ok, true, 0), torch.where(ok, off, 0)
        apart[name] = max(_part(off.norm(), true.norm()), _part(off.abs().max(), true.abs().max()))
    return apart


def _part(off: torch.Tensor, whole: torch.Tensor) -> float:
    if whole == 0:
        return 0.0 if off == 0 else float("inf")
    return (off / whole).item()


def _pairs(
    found: Mapping[str, torch.Tensor], truth: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """The float tensors of two runs, in the dtype of the second one."""
    for name, true in truth.items():
        if name in found and _is_float(true) and found[name].shape == true.shape and true.numel():
            yield name, found[name].to(true.dtype), true


def tolerance(digits: int) -> float:
    """How far apart a run in a dtype of so many binary digits may be without further questions."""
    return max(_TIMES * 2.0 ** (1 - digits), _LEAST)


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _has_limits(dtype: torch.dtype) -> bool:
    try:
        torch.finfo(dtype)
    except TypeError:
        return False
    return True
