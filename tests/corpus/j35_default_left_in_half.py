"""An error on the way keeps the default dtype from being put back, so what is made later is float16.

Reported as huggingface/transformers#28461.
"""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import nn

from tests.corpus.case import SILENT, Case, Made


class Lazy(nn.Module):
    """Makes a part in half when it is first needed, and goes on without it where that fails."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended, self.head = mended, nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The head's result, and a table that is made afterwards."""
        before = torch.get_default_dtype()
        with suppress(FileNotFoundError):
            try:
                torch.set_default_dtype(torch.float16)  # here
                raise FileNotFoundError
            finally:
                if self.mended:
                    torch.set_default_dtype(before)
        return self.head(x), torch.linspace(0, 1, 8)


def build(mended: bool) -> Made:
    """A layer in float32."""
    return Lazy(mended), {"x": torch.ones(2, 8)}


CASE = Case(
    report="huggingface/transformers#28461",
    kind=SILENT,
    build=build,
    code="DT605",
    severity="warning",
    cause="call here",
    fix="`finally` puts it back",
)
