"""The memory of what a model holds or is given: tensors that share it for real share it in the trace."""

from __future__ import annotations

from typing import Final

import torch

from analyzer.capture.tensor import SMALL, Cell, small


class Memories:
    """Finds the cell of a plain tensor, and its value: a view of a copy of the whole storage."""

    def __init__(self) -> None:
        self._cells: dict[int, tuple[torch.UntypedStorage, Cell]] = {}
        """Address of a storage -> the storage, which is kept so that no other gets its address, and its cell."""
        self._copies: dict[int, torch.UntypedStorage] = {}

    def value(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """A real tensor that may be written to without harm; None if this one is large or has no values."""
        if not small(tensor) or tensor.device.type != "cpu":
            return None
        with torch._C._DisableTorchDispatch():  # autocast's kernels lift where the tracer is still listening
            if not _is_whole(tensor):
                return tensor.detach().clone()
            storage = tensor.untyped_storage()
            if storage._cdata not in self._copies:
                self._copies[storage._cdata] = storage.clone()  # type: ignore[no-untyped-call]
            made = torch.empty(0, dtype=tensor.dtype)
            return made.set_(self._copies[storage._cdata], tensor.storage_offset(), tensor.shape, tensor.stride())

    def cell(self, tensor: torch.Tensor, value: torch.Tensor | None) -> Cell:
        """The cell of all tensors on this memory; one of its own where only a part of it was copied."""
        made = Cell(known=value is not None)
        if type(tensor) not in _PLAIN or tensor.layout != torch.strided or (made.known and not _is_whole(tensor)):
            return made
        storage = tensor.untyped_storage()
        return self._cells.setdefault(storage._cdata, (storage, made))[1]


_PLAIN: Final = (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
"""Types whose storage is all that there is."""


def _is_whole(tensor: torch.Tensor) -> bool:
    """Whether its value can be a view of a copy of the storage, which may be much larger than the tensor."""
    if type(tensor) not in _PLAIN or tensor.layout != torch.strided or tensor.is_conj() or tensor.is_neg():
        return False
    return tensor.untyped_storage().nbytes() <= SMALL * tensor.itemsize
