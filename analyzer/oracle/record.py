"""Puts every signature of the table to the device that it runs on, by plain calls of torch, and keeps the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import torch

from analyzer.ir import walk
from analyzer.ir.graph import Spec
from analyzer.oracle.device_rows import FROM_SOURCE, RECORDED, Row
from analyzer.oracle.signatures import SIGNATURES, Signature, fill

ERRORS: Final = (RuntimeError, TypeError, ValueError, IndexError)
ELSEWHERE: Final = {
    "aten._scaled_dot_product_flash_attention_for_cpu.default": ("aten.scaled_dot_product_attention.default", "float32")
}
"""What another device runs where the CPU runs an operation of its own, and the dtype of the output it lacks."""


def record(device: str, signatures: Iterable[Signature] = SIGNATURES) -> list[Row]:
    """The answer of a device to every signature and choice of dtypes.

    A refusal counts only if the same call runs in some other choice of dtypes; else nothing is known of it.
    """
    reference = f"torch {torch.__version__}, {_name(device)}"
    return list({row.key: row for s in signatures for row in _rows(s, device, reference)}.values())


def differing(here: Iterable[Row], cpu: Iterable[Row]) -> list[Row]:
    """The rows in which a device says something else than the CPU did."""
    said = {row.key: (row.refused, row.gives) for row in cpu}
    return [row for row in here if said.get(row.key) != (row.refused, row.gives)]


def merged(old: Iterable[Row], here: Iterable[Row], cpu: Iterable[Row]) -> list[Row]:
    """A data file after a recording: what was read in sources stays only where the device was not heard."""
    here = list(here)
    heard = {row.key for row in here}
    return [row for row in old if row.source == FROM_SOURCE and row.key not in heard] + differing(here, cpu)


def put(signature: Signature, dtypes: dict[str, str] | tuple[str, ...], device: str) -> str | tuple[str, ...]:
    """What one real call says: the dtypes of its outputs, in order, or the words in which it is refused."""
    args = [_real(a, device) for a in fill(signature.args, dtypes)]
    after = dtypes if isinstance(dtypes, dict) else dtypes[_count(signature.args) :]
    kwargs = {name: _real(fill(value, after), device) for name, value in signature.kwargs}
    for position in signature.column_major:
        args[position] = args[position].t().contiguous().t()
    op, *lacking = ELSEWHERE.get(signature.op, (signature.op,)) if device != "cpu" else (signature.op,)
    try:
        with torch.no_grad():
            result = _overload(op)(*args, **kwargs)
    except ERRORS as error:
        return str(error).split("\nException raised from")[0].strip()
    return (*_outputs(result), *lacking)


def operands(signature: Signature, chosen: dict[str, str]) -> tuple[str | None, ...]:
    """The dtypes of a call as a row has them: of every tensor argument in the order of the schema."""
    arguments = _overload(signature.op)._schema.arguments
    given = dict(zip([a.name for a in arguments], signature.args, strict=False)) | dict(signature.kwargs)
    values = [given.get(a.name) for a in arguments if "Tensor" in str(a.type)]
    return tuple(dtype for value in values for dtype in _names(fill(value, chosen)))


def static(signature: Signature) -> tuple[tuple[str, Any], ...]:
    """The arguments that a row keeps beside the dtypes."""
    names = [a.name for a in _overload(signature.op)._schema.arguments]
    return tuple((name, signature.args[names.index(name)]) for name in signature.static)


def _rows(signature: Signature, device: str, reference: str) -> Iterator[Row]:
    answers = [(chosen, put(signature, chosen, device)) for chosen in signature.calls()]
    if not any(isinstance(answer, tuple) for _, answer in answers):
        return
    for chosen, answer in answers:
        refused, gives = ("", answer) if isinstance(answer, tuple) else (answer, ())
        dtypes = operands(signature, chosen)
        yield Row(signature.op, dtypes, static(signature), refused, gives, RECORDED, reference)


def _overload(op: str) -> Any:
    package, name, overload = op.split(".")
    return getattr(getattr(getattr(torch.ops, package), name), overload)


def _real(arg: object, device: str) -> Any:
    def real(spec: Spec) -> torch.Tensor:
        return torch.zeros(spec.shape, device=device).to(getattr(torch, spec.dtype))

    return walk.changed(arg, Spec, real, into=list)


def _names(arg: object) -> list[str | None]:
    return [end.dtype if isinstance(end, Spec) else None for end in walk.leaves(arg, object)]


def _count(arg: object) -> int:
    return sum(name is not None for name in _names(arg))


def _outputs(result: object) -> Iterator[str]:
    for item in result if isinstance(result, (tuple, list)) else (result,):
        if isinstance(item, torch.Tensor):
            yield str(item.dtype).removeprefix("torch.")


def _name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device
