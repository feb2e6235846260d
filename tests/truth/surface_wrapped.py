"""Modules that `torch.compile`, `torch.jit`, a parametrization, a norm of weights or pruning has wrapped."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

BACKEND = "eager"
"""What compiles: the front of `torch.compile` is as for every backend, and no C++ is built."""


def _two() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))


def whole() -> nn.Module:
    return cast(nn.Module, torch.compile(_two(), backend=BACKEND))


def in_place() -> nn.Module:
    module = _two()
    module.compile(backend=BACKEND)
    return module


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.compile(_two(), backend=BACKEND)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Any) -> Any:
        return self.norm(self.inner(x))


@torch.compile(backend=BACKEND, dynamic=False)
def _gated(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(x @ weight) * x


class Function(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: Any) -> Any:
        return _gated(x, self.weight)


class Method(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return self._inner(x) + x

    @torch.compile(backend=BACKEND, dynamic=False)  # type: ignore[untyped-decorator, unused-ignore]
    def _inner(self, x: Any) -> Any:
        return self.layer(x).sin()


class InForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        return torch.compile(lambda y: self.layer(y).sin(), backend=BACKEND)(x) + x


def warm() -> nn.Module:
    """A compiled module that has run, so that what was compiled is kept."""
    module = whole()
    with torch.no_grad():
        module(torch.randn(3, 8))
    return module


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.jit.script(_two())

    def forward(self, x: Any) -> Any:
        return self.inner(x)


class JitTraced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.jit.trace(_two(), torch.randn(3, 8))

    def forward(self, x: Any) -> Any:
        return self.inner(x)


class _Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).transpose(-1, -2)


def parametrized() -> nn.Module:
    layer = nn.Linear(8, 8)
    parametrize.register_parametrization(layer, "weight", _Symmetric())
    return layer


class Cached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = parametrized()

    def forward(self, x: Any) -> Any:
        with parametrize.cached():
            return self.layer(self.layer(x))


def weight_norm() -> nn.Module:
    return cast(nn.Module, parametrizations.weight_norm(nn.Linear(8, 8)))


def spectral_norm() -> nn.Module:
    return cast(nn.Module, parametrizations.spectral_norm(nn.Linear(8, 8)))


def orthogonal() -> nn.Module:
    return cast(nn.Module, parametrizations.orthogonal(nn.Linear(8, 8)))


def old_weight_norm() -> nn.Module:
    return cast(nn.Module, torch.nn.utils.weight_norm(nn.Linear(8, 8)))


def old_spectral_norm() -> nn.Module:
    return cast(nn.Module, torch.nn.utils.spectral_norm(nn.Linear(8, 8)))


def pruned() -> nn.Module:
    return cast(nn.Module, prune.l1_unstructured(nn.Linear(8, 8), "weight", amount=0.3))
