"""The law of blame, asked of real kernels: changing what is blamed changes the dtype, narrowing anything else does not.

Every operator of PyTorch's own database, in floats, integers, bools and complex numbers, and small functions that go
from one kind to another.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_unflatten

from analyzer.capture.calls.dtype_reads import CASTS
from analyzer.capture.tensor import dtype_name
from analyzer.ir.blame import NEAREST
from analyzer.ir.dtypes import DTYPES, kind, real_part
from analyzer.ir.findings import Origin
from analyzer.ir.plan import Plan
from analyzer.propagate import propagate
from analyzer.running.forward import capture, from_callable
from tests.slices import at_least, sliced

Function = Callable[..., Any]

PLAN: Final = Plan(device="cpu")
PARTS: Final = 16
BASES: Final = (torch.float32, torch.int64, torch.bool, torch.complex64)
MIXED: Final = (torch.float64, torch.int32, torch.complex64)
TRIED: Final = tuple(getattr(torch, name) for name in DTYPES if not name.startswith(("float8", "float4", "uint1")))
EXPLAINED: Final = {
    "all": "of bytes it gives a byte, of everything else a bool",
    "any": "of bytes it gives a byte, of everything else a bool",
    "isfinite": "it fills a tensor like its argument, of a dtype that its argument may have",
    "isreal": "it fills a tensor like its argument, of a dtype that its argument may have",
    **dict.fromkeys(
        (
            "nn.functional.binary_cross_entropy_with_logits", "nn.functional.conv3d", "nn.functional.conv_transpose1d",
            "nn.functional.conv_transpose2d", "nn.functional.gaussian_nll_loss", "nn.functional.huber_loss",
            "nn.functional.instance_norm", "nn.functional.linear_cross_entropy.chunked",
            "nn.functional.linear_cross_entropy.chunked_none", "nn.functional.rms_norm",
            "nn.functional.soft_margin_loss", "normal",
        ),
        "its kernel takes a narrower dtype for some of its operands, which are to have one",
    ),
    "_unsafe_masked_index_put_accumulate": "an operation of compilers, with several indexes",
    "masked.logaddexp": "Python code reads two dtypes, and blame follows the last one",
}  # fmt: skip
"""Operators that break the law, and why."""


@dataclass(frozen=True)
class Blamed:
    """What a function of tensors gives, and whom the trace blames for the dtype of one of its results."""

    function: Function
    given: Sequence[torch.Tensor]
    result: int
    dtype: torch.dtype
    origins: tuple[Origin, ...]

    @property
    def inputs(self) -> list[int]:
        """The blamed arguments, by number."""
        return [int(origin.name.rpartition(".")[2]) for origin in self.origins if origin.kind == "input"]

    def under(self, changed: Sequence[int], dtype: torch.dtype) -> torch.dtype | None:
        """The result's dtype in a real run with some arguments in another dtype; None if that is refused."""
        given = [tensor.to(dtype) if i in changed else tensor for i, tensor in enumerate(self.given)]
        made = _really(self.function, given)
        return made[self.result] if made else None


def _really(function: Function, given: Sequence[torch.Tensor]) -> list[torch.dtype]:
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = function(*[tensor.detach().clone() for tensor in given])
    except Exception:
        return []
    return [leaf.dtype for leaf in tree_flatten(result)[0] if isinstance(leaf, torch.Tensor)]


def _blamed(function: Function, given: Sequence[torch.Tensor]) -> Iterator[Blamed]:
    """One for each result of a function that runs, and that the trace runs to its end."""
    real = _really(function, given)
    captured = capture(from_callable(function, tuple(given), {}), PLAN) if real else None
    if captured is None or captured.stop:
        return
    flow = propagate(captured.graph, PLAN)
    outputs = flow.graph.outputs
    if [flow.dtype(ref) for ref in outputs] == [dtype_name(dtype) for dtype in real]:
        for number, (ref, dtype) in enumerate(zip(outputs, real, strict=True)):
            yield Blamed(function, given, number, dtype, flow.origins(ref))


def _changes_nothing(one: Blamed) -> bool:
    """Whether the function runs with all that is blamed in another dtype, and never gives another one."""
    if not one.origins or len(one.inputs) < len(one.origins) or len(one.origins) == NEAREST:
        return False
    ran = False
    for dtype in TRIED:
        if any(one.given[i].dtype != dtype for i in one.inputs) and (made := one.under(one.inputs, dtype)):
            if made != one.dtype:
                return False
            ran = True
    return ran


def _is_blamed_in_vain(one: Blamed) -> bool:
    """Whether one of those blamed is not enough: the dtype goes where the others go, and not where it is."""
    for number in one.inputs:
        others = [i for i in one.inputs if i != number]
        same = real_part(dtype_name(one.given[number].dtype)) == real_part(dtype_name(one.dtype))
        narrower = _narrower(one.given[others[0]].dtype) if others and same else ()
        if any(one.under(others, dtype) not in (None, one.dtype) for dtype in narrower):
            return True
    return False


def _is_decided_by_another(one: Blamed) -> bool:
    """Whether the function gives another dtype if an argument that nobody blames becomes narrower."""
    if len(one.origins) == NEAREST:
        return False
    others = [number for number in range(len(one.given)) if number not in one.inputs]
    return any(one.under([i], d) not in (None, one.dtype) for i in others for d in _narrower(one.given[i].dtype))


def _narrower(dtype: torch.dtype) -> list[torch.dtype]:
    same = kind(dtype_name(dtype))
    return [d for d in TRIED if kind(dtype_name(d)) == same and d.itemsize < dtype.itemsize]


def _broken(function: Function, given: Sequence[torch.Tensor]) -> str:
    """How a function breaks the law; "" if it does not."""
    for one in _blamed(function, given):
        said = f"{[dtype_name(t.dtype) for t in given]} -> {dtype_name(one.dtype)}, blamed {one.origins}"
        if _changes_nothing(one):
            return f"changing what is blamed changes nothing: {said}"
        if _is_blamed_in_vain(one):
            return f"one of them is blamed in vain: {said}"
        if _is_decided_by_another(one):
            return f"something else decides: {said}"
    return ""


def _calls(op: Any) -> Iterator[tuple[Function, list[torch.Tensor]]]:
    """An operator on its first sample of each dtype, and that with its first such tensor in another one."""
    for base in BASES:
        if base not in op.supported_dtypes("cpu"):
            continue
        torch.manual_seed(0)
        for sample in islice(op.sample_inputs("cpu", base, set_seed=False), 1):
            leaves, tree = tree_flatten(((sample.input, *sample.args), sample.kwargs))
            at = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]

            def call(*tensors: torch.Tensor, leaves: Any = leaves, tree: Any = tree, at: Any = at) -> Any:
                filled = list(leaves)
                for place, tensor in zip(at, tensors, strict=True):
                    filled[place] = tensor
                args, kwargs = tree_unflatten(filled, tree)
                return op.op(*args, **kwargs)

            given = [leaves[i].detach() for i in at]
            yield call, given
            same = [i for i, tensor in enumerate(given) if tensor.dtype == base]
            for other in MIXED if len(same) > 1 else ():
                yield call, [tensor.to(other) if i == same[0] else tensor for i, tensor in enumerate(given)]


def test_every_operator_obeys_the_law() -> None:
    broken, asked = {}, 0
    for op in sliced(op_db, PARTS, lambda op: str(op.name)):
        name = f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name
        if op.name.startswith("jiterator") or op.name in CASTS | {"cfloat", "chalf"}:
            continue
        for function, given in _calls(op):
            asked += 1
            if name not in broken and (how := _broken(function, given)):
                broken[name] = how
    assert asked > at_least(2000, PARTS)
    assert {name: how for name, how in broken.items() if name not in EXPLAINED} == {}


def _rope(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    turned = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2)) * table
    return torch.view_as_real(turned).flatten(-2)


X: Final = torch.linspace(0.1, 1, 64)
WINDOW: Final = torch.hann_window(16)
PROGRAMS: Final[dict[str, tuple[Function, tuple[torch.Tensor, ...], tuple[str, ...]]]] = {
    "a complex table": (_rope, (X.bfloat16(), torch.polar(X[:32], X[:32])), ("args.1", "float")),
    "polar": (lambda r, a: torch.polar(r, a).real, (X, X), ("args.0", "args.1")),
    "polar, made of one": (lambda a: torch.polar(torch.ones_like(a), a), (X,), ("args.0",)),
    "complex": (lambda re: torch.complex(re, re).imag, (X.double(),), ("args.0",)),
    "abs of a spectrum": (lambda x: torch.fft.rfft(x).abs() ** 2, (X.double(),), ("args.0",)),
    "angle": (lambda x: torch.fft.fft(x).angle(), (X,), ("args.0",)),
    "and back": (lambda x: torch.fft.irfft(torch.fft.rfft(x).conj().resolve_conj()), (X.double(),), ("args.0",)),
    "a window in a spectrum": (lambda x, w: torch.fft.rfft(x[:16] * w), (X, WINDOW.double()), ("args.1",)),
    "a wide number": (lambda x, y: (x * y).real, (X.double(), torch.fft.fft(X)), ("args.0",)),
    "where": (lambda m, x, y: torch.where(m, x, y), (X > 0, X, X.double()), ("args.2",)),
    "where of masks": (lambda m, x: torch.where(m, x, x), (X > 0, X > 0), ("args.1",)),
    "a comparison": (lambda x, y: (x > y).to(x.dtype), (X.double(), X.double()), ("args.0",)),
    "a mask as numbers": (lambda m: m.float() * 2, (X > 0,), ("float",)),
    "a mask and integers": (lambda m, x: m * x, (X > 0, X.int()), ("args.1",)),
    "positions of the largest": (lambda x: x.argmax(), (X.double(),), ("argmax",)),
    "sorted with positions": (lambda x: x.sort()[1] + 1, (X.long(),), ("sort",)),
    "a division of integers": (lambda x: x / 2, (X.long(),), ("div",)),
    "a sine of integers": (lambda x: x.sin(), (X.long(),), ("sin",)),
    "a sum of masks": (lambda m: m.sum(), (X > 0,), ("sum",)),
    "a sum of numbers": (lambda x: x.sum(), (X.bfloat16(),), ("args.0",)),
    "indexes": (lambda x, i: x[i], (X.int(), X.long()), ("args.0",)),
    "picked": (lambda x, i: x.gather(0, i), (X.long(), X.long()), ("args.0",)),
    "an embedding": (lambda i, w: torch.nn.functional.embedding(i, w), (X.long(), X.long()[:, None]), ("args.1",)),
    "written in place": (lambda x, y: x.clone().add_(y), (X, X.double()), ("args.0",)),
    "written into a slice": (lambda x, y: torch.zeros_like(x).index_copy_(0, y, x), (X, X[:64].long()), ("args.0",)),
    "bytes and signed bytes": (lambda x, y: x + y, (X.to(torch.uint8), X.to(torch.int8)), ("args.0", "args.1")),
    "halves": (lambda x, y: x + y, (X.half(), X.bfloat16()), ("args.0", "args.1")),
    "zeros": (lambda x: torch.zeros(3, dtype=x.dtype), (X.int(),), ("args.0",)),
    "full": (lambda x: torch.full((3,), 1, dtype=x.dtype), (X.to(torch.complex64),), ("args.0",)),
    "a tensor of numbers": (lambda x: torch.tensor([1, 2], dtype=x.dtype), (X > 0,), ("args.0",)),
    "new zeros": (lambda x: x.new_zeros(3), (X.bfloat16(),), ("args.0",)),
    "new numbers": (lambda x: x.new_tensor([1, 2]), (X.bfloat16(),), ("args.0",)),
    "like another": (lambda x, y: torch.empty_like(x, dtype=y.dtype), (X, X.long()), ("args.1",)),
    "as another": (lambda x, y: x.type_as(y), (X, X > 0), ("args.1",)),
    "a norm that casts back": (lambda x: torch.nn.functional.rms_norm(x, (64,)), (X.bfloat16(),), ("args.0",)),
}
"""Name -> a function, its arguments, and the names of what is to be blamed: arguments, a call, or a node."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_blame_goes_from_kind_to_kind(name: str) -> None:
    function, given, names = PROGRAMS[name]
    (one,) = _blamed(function, given)
    assert tuple(sorted(origin.name for origin in one.origins)) == names
    assert _broken(function, given) == ""


def test_a_spectrogram_leads_to_the_waveform_and_the_window() -> None:
    def spectrogram(x: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
        return torch.stft(x, 16, 4, window=window, center=False, return_complex=True).abs()

    (one,) = _blamed(spectrogram, (X.double(), WINDOW.double()))
    assert {origin.name for origin in one.origins} == {"args.0", "args.1"}
    assert _broken(spectrogram, (X.double(), WINDOW.double())) == ""


@pytest.mark.parametrize(("name", "places"), [("gather", (2,)), ("index_select", (2,))])
def test_the_law_finds_an_index_that_nobody_tabled(
    name: str, places: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyzer.ir.blame import roles

    assert roles.PLACES[name] == places
    monkeypatch.delitem(roles.PLACES, name)  # type: ignore[arg-type]
    found = [_broken(function, given) for op in op_db if op.name == name for function, given in _calls(op)]
    assert any("blamed in vain" in how or "changes nothing" in how for how in found)
