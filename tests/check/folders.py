"""Copies of the shrunken sample, changed as a person would change them."""

from __future__ import annotations

from pathlib import Path

from tests.samples.shrink import SAMPLES, shrink

REFUSED = "out = self.attn(query, key, x)[0]"
"""The line of the sample's own fault."""
PLANTED = "out = out @ torch.ones(out.shape[-1], out.shape[-1])"
"""A second, independent fault: float32 weights made in forward."""


def sample(folder: Path) -> Path:
    """The faulty sample, small, without weights."""
    return shrink(SAMPLES / "minicpm_v_2", folder)


def edit(folder: Path, before: str, after: str, file: str = "resampler.py") -> Path:
    """Change one place of a file."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")
    return folder


def renumber(folder: Path) -> Path:
    """Move every line, put an operation in, write a line otherwise."""
    edit(folder, "query = self.ln_q(", "query = self.ln_q(1.0 * ")
    edit(folder, REFUSED, "out  =  self.attn(query, key, x)[0]  # as before")
    return edit(folder, "import math\n", "# one\n# two\n\nimport math\n")


def plant(folder: Path) -> Path:
    """Put the second fault in."""
    return edit(folder, REFUSED, f"{REFUSED}\n        {PLANTED}")
