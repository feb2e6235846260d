"""Shape, stride and aliasing of every aten call that PyTorch's own samples make: as the trace has them, and really."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer.capture.strides.results import Form, forms
from analyzer.capture.tracing.outcomes import results
from analyzer.capture.tracing.signature import NEW, VIEW, argument, signature
from analyzer.ir import walk
from tests.truth.matrix import versions

DTYPES: Final = (torch.float32, torch.bfloat16, torch.complex64, torch.int64)


def _as_it_is(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _turned(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.movedim(1, -1).contiguous().movedim(-1, 1) if tensor.dim() > 2 else tensor


def _with_gaps(tensor: torch.Tensor) -> torch.Tensor:
    return torch.stack([tensor, tensor], -1)[..., 0]


LAYOUTS: Final = (_as_it_is, _turned, _channels_last, _with_gaps)
"""What is done to the operands of each sample."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A call whose results lie otherwise than the trace says."""

    op: str
    operands: tuple[Form, ...]
    really: object
    traced: object

    def __str__(self) -> str:
        return f"{self.op} of {list(self.operands)}: traced {self.traced}, really {self.really}"


@dataclass(slots=True)
class Compared:
    """What was compared so far: each distinct call once."""

    calls: Counter[str] = field(default_factory=Counter)
    wrong: list[Difference] = field(default_factory=list)
    seen: set[object] = field(default_factory=set)


class _Watch(TorchDispatchMode):
    def __init__(self, compared: Compared) -> None:
        super().__init__()
        self._compared = compared

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operands = [*walk.leaves((args, kwargs), torch.Tensor)]
        key = (str(func), str([a if not isinstance(a, torch.Tensor) else "" for a in args]), *map(_looks, operands))
        if key in self._compared.seen or any(t.layout != torch.strided for t in operands):
            return func(*args, **kwargs)
        self._compared.seen.add(key)
        given, memories = tuple(map(_form, operands)), [_memory(t) for t in operands]
        traced = _traced(func, args, kwargs)
        result = func(*args, **kwargs)
        made = [t for t in results(result) if t.layout == torch.strided]
        if traced is not None and made:
            self._compared.calls[str(func)] += 1
            really = [*map(_form, made)]
            if list(map(_matters, really)) != list(map(_matters, traced)):
                self._compared.wrong.append(Difference(str(func), given, really, traced))
            shared, expected = [_index(memories, t) for t in made], _shares(func, args, kwargs, operands, len(made))
            if shared != expected:
                self._compared.wrong.append(Difference(str(func), given, f"shares {shared}", f"shares {expected}"))
        return result


def compare(names: tuple[str, ...] = (), samples: int = 4, backward: bool = True) -> Compared:
    """Every aten call of a few samples of the operators (all by default), in several dtypes and layouts."""
    compared = Compared()
    for op in op_db:
        if names and op.name not in names:
            continue
        for dtype in DTYPES:
            if op.supports_dtype(dtype, "cpu"):
                for call in _calls(op, dtype, samples, backward and op.supports_autograd):
                    with suppress(Exception), _Watch(compared):
                        call()
    return compared


def section(samples: int | None) -> str:
    """The figures for the page, and every kind of call that differs."""
    warnings.simplefilter("ignore")
    compared = compare(samples=samples or 4)
    wrong = {difference.op: difference for difference in compared.wrong}
    share = 1 - len(compared.wrong) / max(sum(compared.calls.values()), 1)
    lines = [
        f"- {sum(compared.calls.values())} distinct calls of {len(compared.calls)} aten operations, forward and "
        f"backward, in {len(DTYPES)} dtypes and {len(LAYOUTS)} layouts of their operands",
        f"- shape, stride and aliasing equal: {share:.4%}; {len(compared.wrong)} calls differ",
        *[f"- differs, for example: {wrong[op]}" for op in sorted(wrong)],
    ]
    return "\n".join([*lines, "", versions()]) + "\n"


def _calls(op: Any, dtype: torch.dtype, most: int, backward: bool) -> Iterator[Callable[[], None]]:
    grad = backward and (dtype.is_floating_point or dtype.is_complex)
    try:
        found = list(op.sample_inputs("cpu", dtype, requires_grad=grad))
    except Exception:  # some need a library that is not installed
        return
    for sample in found[:: max(1, len(found) // most)][:most]:
        for layout in LAYOUTS:
            yield lambda sample=sample, layout=layout: _call(op, sample.transform(_laid_out(layout)), grad)  # type: ignore[misc]


def _call(op: Any, sample: Any, grad: bool) -> None:
    result = op(sample.input, *sample.args, **sample.kwargs)
    wanted = [t for t in walk.leaves(result, torch.Tensor) if t.requires_grad]
    if grad and wanted:
        torch.stack([t.abs().sum() for t in wanted]).sum().backward()  # type: ignore[no-untyped-call]


def _laid_out(layout: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[object], object]:
    def changed(value: object) -> object:
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            return value
        with torch.no_grad():
            made = layout(value.detach())
        return made.requires_grad_() if value.requires_grad else made

    return changed


def _traced(func: Any, args: Any, kwargs: Any) -> list[Form] | None:
    """What the trace has; None where it runs a call on made-up values, as the meta kernel cannot tell."""

    def on_meta(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
        return torch.device("meta") if isinstance(value, torch.device) else value

    try:
        meta_args, meta_kwargs = walk.changed((args, kwargs), object, on_meta, into=list)
        with torch.no_grad():
            made = results(func(*meta_args, **meta_kwargs))
    except (RuntimeError, NotImplementedError):
        return None
    return forms(func, args, kwargs, made)


def _shares(func: Any, args: Any, kwargs: Any, operands: list[torch.Tensor], made: int) -> list[int | None]:
    """For each result the number of the operand whose memory the trace puts it on."""
    sig = signature(func)
    shared: list[int | None] = []
    for number in range(made):
        how = sig.returns[0 if sig.many else min(number, len(sig.returns) - 1)]
        if how == NEW:
            shared.append(None)
        else:
            of = operands[0] if how == VIEW else argument(sig, int(how), args, kwargs)
            shared.append(_index([_memory(t) for t in operands], of))
    return shared


def _index(memories: list[int], tensor: torch.Tensor) -> int | None:
    return memories.index(_memory(tensor)) if _memory(tensor) in memories else None


def _memory(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _form(tensor: torch.Tensor) -> Form:
    return tuple(tensor.shape), tensor.stride()


def _looks(tensor: torch.Tensor) -> object:
    return (*_form(tensor), tensor.dtype)


def _matters(form: Form) -> Form:
    """Without what no later call can tell: the stride of a dimension of one, and all of an empty tensor."""
    shape, stride = form
    return shape, tuple(step if size > 1 and 0 not in shape else 1 for size, step in zip(shape, stride, strict=True))
