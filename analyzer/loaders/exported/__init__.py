"""Reads a program that `torch.export.save` wrote so that torch sees nothing of it that could run code."""

from analyzer.loaders.exported.archive import checked
from analyzer.loaders.exported.interpreted import interpreted

__all__ = ["checked", "interpreted"]
