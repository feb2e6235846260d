"""Notes where code reads a tensor's dtype to give it to another tensor, so that blame can follow."""

from __future__ import annotations

from typing import Any

import torch

from analyzer.capture.source_lines import SourceLines
from analyzer.capture.tensor import Abstract
from analyzer.capture.tracing.recorder import Recorder
from analyzer.ir.graph import above


class Following:
    """Remembers for each module the tensor whose dtype its code read last, one for each dtype."""

    def __init__(self, recorder: Recorder, places: SourceLines) -> None:
        self._recorder, self._places = recorder, places
        self._read: dict[tuple[str, torch.dtype], Abstract] = {}

    def read(self, getter: Any, tensor: Any) -> None:
        """Code has read an attribute of a tensor."""
        if type(tensor) is Abstract and tensor.dtype.is_floating_point and getter == _DTYPE:
            self._read[self._places.here()[1], tensor.dtype] = tensor

    def gave(self, name: str, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """A call has returned: its result follows the tensor whose dtype it was told to take.

        That is one that it was given for this, or one whose dtype this or an enclosing module read.
        """
        if name in _LIKE:
            models = [arg for arg in (*args[1:], *kwargs.values()) if type(arg) is Abstract]
            if models and type(result) is Abstract:
                self._follow(result, models[0])
                return
        told = [arg for arg in (*args, *kwargs.values()) if type(arg) is torch.dtype]
        if not told or type(result) is not Abstract or result.dtype not in told:
            return
        for path in above(self._places.here()[1]):
            model = self._read.get((path, result.dtype))
            if model is not None:
                return self._follow(result, model)

    def _follow(self, result: Abstract, model: Abstract) -> None:
        ref, other = self._recorder.read(result), self._recorder.read(model)
        if ref != other and result.dtype == model.dtype:
            self._recorder.graph.follows[ref] = other


_LIKE = ("type_as", "to")
"""Calls that take a dtype from a tensor, if they are given one."""
_DTYPE = torch.Tensor.dtype.__get__  # type: ignore[attr-defined]
