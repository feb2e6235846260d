"""Why a case of the matrix is not equal in every point: (model, set-up) -> the reason, "" meaning any."""

from __future__ import annotations

from typing import Final

EXPLAINED: Final[dict[tuple[str, str], str]] = {}
