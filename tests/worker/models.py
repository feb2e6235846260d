"""Python files with a `build()` whose forward does what a worker must survive."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

_HEAD = """
import ctypes, os, sys, time
import torch
from torch import nn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
    def forward(self, x):
        x = self.first(x)
"""
_TAIL = """
        return self.last(x)
def build():
    return Model(), {"x": torch.ones(2, 4)}
"""
LINE = 11
"""The first of the lines between the two layers."""


def written(folder: Path, body: str = "pass") -> str:
    """The path of such a file, whose forward runs these lines between two layers."""
    file = folder / "model.py"
    file.write_text(_HEAD + indent(dedent(body).strip("\n"), " " * 8) + _TAIL)
    return str(file)


@pytest.fixture
def clean(tmp_path: Path) -> str:
    """A file that is traced to its end."""
    return written(tmp_path)
