"""Carries dtypes and their origins along the graph under a plan: one pass, asking the oracle."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plan:
    """A precision set-up. Dtypes are names such as "bfloat16"; `device` says whose kernels are meant."""

    device: str = "cuda"
    dtype: str | None = None
    to: str | None = None
    set: dict[str, str] = field(default_factory=dict)
    input_dtypes: dict[str, str] = field(default_factory=dict)
    autocast: str | None = None
    scope: str = "forward"
