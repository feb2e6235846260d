"""Dtypes that a device does not have at all, whatever the operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analyzer.ir import walk
from analyzer.ir.graph import Spec
from analyzer.ir.witness import Witness


@dataclass(frozen=True, slots=True)
class _Absent:
    """A dtype that is not there: what holds its values, the words, and where they are read."""

    narrower: str
    words: str
    read: str


_ABSENT: Final = {
    "mps": {
        "float64": _Absent(
            "float32",
            "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
            "Please use float32 instead.",
            "aten/src/ATen/mps/EmptyTensor.cpp, MPS_ERROR_DOUBLE_NOT_SUPPORTED",
        ),
        "complex128": _Absent(
            "complex64",
            "Trying to convert ComplexDouble to the MPS backend but it does not have support for that dtype.",
            "aten/src/ATen/native/mps/OperationUtils.mm, getMPSDataType",
        ),
    }
}


def find(device: str, dtypes: tuple[str, ...]) -> tuple[str, Witness] | None:
    """The words in which a device refuses a tensor of one of these dtypes, and where they are read; None if it has all.

    >>> find("mps", ("float32",)) is find("cuda", ("float64",)) is None
    True
    """
    known = _ABSENT.get(device, {})
    absent = next((known[dtype] for dtype in dtypes if dtype in known), None)
    return (absent.words, Witness.of_device(device, "from source", absent.read)) if absent else None


def lacks_any(device: str) -> bool:
    """Whether there are dtypes that a device does not have."""
    return device in _ABSENT


def held(device: str, dtype: str) -> str:
    """The dtype in which a device can hold what another one has in `dtype`.

    >>> held("mps", "float64"), held("cuda", "float64")
    ('float32', 'float64')
    """
    absent = _ABSENT.get(device, {}).get(dtype)
    return absent.narrower if absent else dtype


def of(value: object) -> tuple[str, ...]:
    """The dtypes of the tensors in a value."""
    return tuple(spec.dtype for spec in walk.leaves(value, Spec))
