"""Tells where code refuses to go on unless a tensor is on the GPU that the plan has."""

from __future__ import annotations

import ast
from types import FrameType
from typing import Final

import torch

from analyzer.capture.refusals.conditions import parsed

_IS_CUDA: Final = torch.Tensor.is_cuda.__get__  # type: ignore[attr-defined]


def is_demanded(func: object, device: str, frame: FrameType) -> bool:
    """Whether a read of `is_cuda` is of an `assert`, or decides over a `raise`, under a plan for a GPU."""
    if func != _IS_CUDA or device != "cuda":
        return False
    return any(_insists(node, frame.f_lineno) for node in ast.walk(parsed(frame.f_code.co_filename)))


def _insists(node: ast.AST, line: int) -> bool:
    """Whether a line is of an `assert`, or of the test of an `if` that ends in a `raise`."""
    if isinstance(node, ast.Assert):
        return node.lineno <= line <= (node.end_lineno or 0)
    if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise):
        return node.test.lineno <= line <= (node.test.end_lineno or 0)
    return False
