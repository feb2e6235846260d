"""Notes where code reads a tensor's dtype to give it to another tensor, so that blame can follow."""

from __future__ import annotations

from typing import Any, Final

import torch

from analyzer.capture.source_lines import SourceLines
from analyzer.capture.tensor import Abstract
from analyzer.capture.tracing.recorder import Recorder
from analyzer.ir.graph import CAST, above


class Following:
    """Remembers for each module the tensor whose dtype its code read last, one for each dtype."""

    def __init__(self, recorder: Recorder, places: SourceLines) -> None:
        self._recorder, self._places = recorder, places
        self._read: dict[tuple[str, torch.dtype], Abstract] = {}
        self.count = 0
        """How often code was told a tensor's dtype, in any way."""
        self.last: Abstract | None = None
        """The tensor whose dtype it was told last."""

    def read(self, getter: Any, tensor: Any) -> None:
        """Code has read an attribute of a tensor."""
        if getter in _TELL:
            self._told(tensor)
        if getter == _DTYPE and type(tensor) is Abstract and not self._recorder.is_muted:
            self._read[self._places.here()[1], tensor.dtype] = tensor

    def asked(self, name: str, args: Any) -> None:
        """Code calls a function or a method, which may tell it a dtype."""
        if name in _TELLING and args:
            self._told(args[0])

    def gave(self, name: str, args: Any, kwargs: dict[str, Any], result: Any) -> None:
        """A call has returned: its result follows the tensor whose dtype it was told to take.

        That is one that it was given for this, or one whose dtype this or an enclosing module read. A function that
        casts its result back, as `rms_norm` does, follows the argument that it casts back to.
        """
        if type(result) is not Abstract or result.ref.id not in self._recorder.graph.nodes:
            return  # in a trial nothing is recorded
        given = [arg for arg in (*args, *kwargs.values()) if type(arg) is Abstract]
        told = [arg for arg in (*args, *kwargs.values()) if type(arg) is torch.dtype]
        if name in _LIKE and given[_LIKE[name] :]:
            self._follow(result, given[_LIKE[name]])
        elif result.dtype in told:
            self._follow(result, self._last_read(result.dtype))
        elif not told and name not in CASTS and self._is_cast(result):
            self._follow(result, next((arg for arg in given if arg.dtype == result.dtype), None))

    def _told(self, tensor: object) -> None:
        self.count += 1
        if type(tensor) is Abstract and not self._recorder.is_muted:
            self.last = tensor

    def _last_read(self, dtype: torch.dtype) -> Abstract | None:
        """The tensor whose dtype, this one, the running module or one around it read last."""
        read = (self._read.get((path, dtype)) for path in above(self._places.here()[1]))
        return next((model for model in read if model is not None), None)

    def _is_cast(self, result: Abstract) -> bool:
        """Whether a float comes out of a cast."""
        return result.dtype.is_floating_point and self._recorder.graph[result.ref.id].op == CAST

    def _follow(self, result: Abstract, model: Abstract | None) -> None:
        if model is None:
            return
        ref, other = self._recorder.read(result), self._recorder.read(model)
        if ref != other and result.dtype == model.dtype:
            self._recorder.graph.follows[ref] = other


_LIKE: Final = {"new_tensor": 0, "to": 1, "type_as": 1}
"""Calls that take a dtype from a tensor, if they are given one, and which of the given ones it is."""
CASTS: Final = frozenset({
    "bfloat16", "bool", "byte", "cdouble", "cfloat", "chalf", "char", "double", "float", "half", "int", "long",
    "short", "to", "type",
})  # fmt: skip
"""Calls that are a cast."""
_DTYPE: Final = torch.Tensor.dtype.__get__  # type: ignore[attr-defined]
_TELL: Final = frozenset({_DTYPE, torch.Tensor.itemsize.__get__})  # type: ignore[attr-defined]
"""Attributes that tell a dtype."""
_TELLING: Final = frozenset({"is_floating_point", "is_complex", "is_signed", "element_size", "type", "result_type"})
"""Calls that tell a dtype."""
