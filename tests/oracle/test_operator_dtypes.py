"""What PyTorch's operator database says of a device, as data, as an answer, and in a report."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import analyzer
from analyzer import Plan, Report
from analyzer.errors import AnalyzerError
from analyzer.ir.graph import DtypeArg, Spec
from analyzer.oracle import Dtypes, Refused, ask, device_rows, operator_dtypes, overload
from analyzer.oracle.device_rows import RECORDED
from analyzer.oracle.operator_dtypes import OPERATOR_DATABASE, Row, merged, nearest, of_this_torch

TOP = Path(__file__).parents[2]
DEVICES = ("cuda",)
RELEASE = operator_dtypes.release(torch.__version__)
KNOWN = any(RELEASE in row.torch for row in operator_dtypes.load("cuda").rows)
BF16, F16 = torch.bfloat16, torch.float16

BOTH_LACK: list[tuple[Callable[..., Any], Callable[[torch.dtype], tuple[Any, ...]]]] = [
    (torch.linalg.qr, lambda d: (torch.eye(3, dtype=d),)),
    (torch.linalg.svd, lambda d: (torch.eye(3, dtype=d),)),
    (torch.linalg.cholesky, lambda d: (torch.eye(3, dtype=d),)),
    (torch.linalg.eigh, lambda d: (torch.eye(3, dtype=d),)),
    (torch.cdist, lambda d: (torch.ones(2, 3, dtype=d), torch.ones(4, 3, dtype=d))),
    (
        F.ctc_loss,
        lambda d: (torch.zeros(5, 1, 3, dtype=d), torch.ones(1, 2).long(), torch.tensor([5]), torch.tensor([2])),
    ),
]
CPU_ALONE: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (torch.histc, (torch.ones(4, dtype=BF16),)),
    (torch.angle, (torch.ones(4, dtype=F16),)),
    (torch.igamma, (torch.ones(4, dtype=BF16), torch.ones(4, dtype=BF16))),
    (torch.mm, (torch.ones(2, 2).long(), torch.ones(2, 2).long())),
    (F.linear, (torch.ones(2, 2).int(), torch.ones(2, 2).int())),
    (F.max_pool2d, (torch.ones(1, 1, 4, 4).to(torch.uint8), 2)),
    (torch.histogram, (torch.ones(4),)),
]
CUDA_ALONE: list[tuple[Callable[..., Any], tuple[Any, ...], tuple[str, ...]]] = [
    (torch.fft.rfft, (torch.ones(8, dtype=F16),), ("complex32",)),
    (torch.fft.irfft, (torch.ones(9, dtype=F16),), ("float16",)),
    (F.multi_margin_loss, (torch.ones(2, 3, dtype=BF16), torch.tensor([0, 1])), ("bfloat16",)),
    (F.avg_pool3d, (torch.ones(1, 1, 4, 4, 4, dtype=F16), 2), ("float16",)),
]


def _traced(function: Callable[..., Any], args: tuple[Any, ...], device: str = "cuda") -> Report:
    return analyzer.trace(function, args, plan=Plan(device=device))


@pytest.mark.parametrize("device", DEVICES)
def test_a_file_is_sorted_stable_and_without_two_answers(device: str) -> None:
    known = operator_dtypes.load(device)
    text = operator_dtypes.file_of(device).read_text(encoding="utf-8")
    assert operator_dtypes.dump(known) == text and operator_dtypes.parse(text) == known
    keys = [(row.op, row.static, release) for row in known.rows for release in row.torch]
    assert len(keys) == len(set(keys))
    for row in known.rows:
        assert row.torch and row.operands and (row.lacks or row.runs) and not set(row.lacks) & set(row.runs), row


@pytest.mark.parametrize("device", DEVICES)
def test_a_row_of_this_torch_is_of_a_real_overload(device: str) -> None:
    for row in of_this_torch(device).rows:
        names = {argument.name for argument in overload(row.op)._schema.arguments}
        assert {*row.operands, *dict(row.static)} <= names, row


@pytest.mark.skipif(not KNOWN, reason="no rows of this release")
def test_the_file_says_of_every_operator_what_the_database_says() -> None:
    code = """if True:
        from analyzer.oracle import operator_database, operator_dtypes, operator_verdicts
        entries = operator_database.database()
        for device in operator_verdicts.DEVICES:
            said = operator_verdicts.differences(entries, device, "")
            known = operator_dtypes.of_this_torch(device).differences
            said, known = ({(e.operator, e.function, e.lacks, e.runs) for e in found} for found in (said, known))
            assert said == known, (device, said ^ known)
    """
    subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True)


@pytest.mark.parametrize("dtype", [BF16, F16])
@pytest.mark.parametrize(("function", "made"), BOTH_LACK)
def test_what_both_lack_is_an_error_on_cuda(function: Any, made: Any, dtype: torch.dtype) -> None:
    with pytest.raises(RuntimeError):
        function(*made(dtype))
    function(*made(torch.float32))
    (finding,) = _traced(function, made(dtype)).findings
    assert finding.severity == "error"
    assert finding.asked.kind in (OPERATOR_DATABASE, "as on CPU")
    assert ("BFloat16" if dtype is BF16 else "Half") in finding.message
    assert not _traced(function, made(torch.float32)).findings


@pytest.mark.parametrize(("function", "args"), CPU_ALONE)
def test_what_the_cpu_alone_has_is_an_error_on_cuda(function: Any, args: tuple[Any, ...]) -> None:
    function(*args)
    assert not [f for f in _traced(function, args, "cpu").findings if f.severity == "error"]
    (finding,) = [f for f in _traced(function, args).findings if f.severity == "error"]
    assert finding.asked.kind == OPERATOR_DATABASE and "not implemented for" in finding.message


@pytest.mark.parametrize(("function", "args", "gives"), CUDA_ALONE)
def test_what_cuda_alone_has_is_clean_there(function: Any, args: tuple[Any, ...], gives: tuple[str, ...]) -> None:
    with pytest.raises(RuntimeError):
        function(*args)
    report = _traced(function, args)
    assert not report.findings and report.outputs == gives
    assert not [a for a in report.coverage.assumptions if a.what == "a kernel that the CPU lacks"]


@pytest.mark.parametrize(("function", "size", "told"), [(torch.fft.rfft, 12, 12), (torch.fft.irfft, 8, 14)])
def test_cuda_transforms_halves_in_sizes_of_powers_of_two_alone(function: Any, size: int, told: int) -> None:
    (finding,) = _traced(function, (torch.ones(size, dtype=F16),)).findings
    assert finding.message.startswith("cuFFT only supports dimensions whose sizes are powers of two")
    assert finding.message.endswith(f"[{told}]")


def test_a_backward_that_cuda_alone_has_is_clean_there() -> None:
    x = torch.ones(1, 1, 4, 4, 4, dtype=F16, requires_grad=True)
    with pytest.raises(RuntimeError, match="not implemented for 'Half'"):
        F.avg_pool3d(x, 2).sum().backward()
    call = ("aten.avg_pool3d_backward.default", (Spec("float16", (1, 1, 2, 2, 2)), Spec("float16", (1, 1, 4, 4, 4))))
    kwargs: Any = ((2, 2, 2), (2, 2, 2), (0, 0, 0), False, True, None)
    assert ask(call[0], (*call[1], *kwargs), device="cuda") == Dtypes(("float16",))
    here = ask(call[0], (*call[1], *kwargs))
    assert isinstance(here, Refused) and here.gap


def test_the_database_speaks_of_calls_in_one_dtype_on_operands_with_elements() -> None:
    op = "aten.addmm.default"
    schema, spec = overload(op)._schema, Spec("int64", (2, 2))
    assert operator_dtypes.find("cuda", op, schema, (spec, spec, spec), ())
    assert not operator_dtypes.find("cuda", op, schema, (spec, spec, Spec("int32", (2, 2))), ())
    assert not operator_dtypes.find("cuda", op, schema, (spec, Spec("int64", (2, 0)), Spec("int64", (0, 2))), ())
    assert not operator_dtypes.find("cpu", op, schema, (spec, spec, spec), ())
    op = "aten._softmax.default"
    assert operator_dtypes.find("cuda", op, overload(op)._schema, (spec, 1, False), ())
    assert not operator_dtypes.find(
        "cuda", op, overload(op)._schema, (spec, 1, False), (("dtype", DtypeArg("float32")),)
    )


def test_a_word_among_the_arguments_chooses_the_row() -> None:
    op, values = "aten.scatter_reduce.two", Spec("bool", (4,))
    for reduce, lacks in (("amin", True), ("sum", False)):
        args = (values, 0, Spec("int64", (4,)), values, reduce)
        assert bool(operator_dtypes.find("cuda", op, overload(op)._schema, args, ())) == lacks


def test_a_recorded_row_goes_before_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    op, args = "aten.linalg_qr.default", (Spec("bfloat16", (3, 3)),)
    assert isinstance(ask(op, args, device="cuda"), Refused)
    heard = device_rows.Row(op, ("bfloat16",), (), "", ("bfloat16", "bfloat16"), RECORDED, "torch 2.13.0, A100")
    monkeypatch.setattr(device_rows, "load", lambda device: device_rows.Answers((heard,)))
    device_rows._by_op.cache_clear()
    try:
        assert ask(op, args, device="cuda") == Dtypes(("bfloat16", "bfloat16"))
    finally:
        device_rows._by_op.cache_clear()


def test_the_nearest_release_that_is_not_newer_speaks() -> None:
    assert [nearest(["2.6", "2.13"], v) for v in ("2.13.0+cpu", "2.15.1", "2.12.0", "2.6.0", "2.5.1")] == [
        "2.13", "2.13", "2.6", "2.6", ""
    ]  # fmt: skip


def test_a_new_release_replaces_its_own_rows_alone() -> None:
    def row(lacks: str, *torch: str) -> Row:
        return Row("aten.x.default", ("self",), (), (lacks,), (), "x", torch)

    old = [row("bool", "2.6", "2.13")]
    assert merged(old, [row("bool", "2.13")], "2.13") == old
    assert set(merged(old, [row("int8", "2.13")], "2.13")) == {row("bool", "2.6"), row("int8", "2.13")}


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (lambda: torch.zeros(3, dtype=torch.float64) + 1, ()),
        (lambda x: x.double() * 2, (torch.ones(3),)),
        (lambda x: x.to(torch.float64).sum(), (torch.ones(3),)),
        (lambda x: x * 2, (torch.ones(3, dtype=torch.float64),)),
        (lambda x: x.cumsum(0, dtype=torch.float64), (torch.ones(3),)),
    ],
)
def test_float64_does_not_exist_on_mps(function: Any, args: tuple[Any, ...]) -> None:
    report = _traced(function, args, "mps")
    (finding,) = report.findings
    assert finding.message == (
        "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
        "Please use float32 instead."
    )
    assert finding.asked.text.startswith("mps, from source: ") and report.outputs == ("float32",)
    assert not [f for f in _traced(function, args, "cuda").findings if f.severity == "error"]


def test_float32_is_clean_on_every_device() -> None:
    for device in ("cuda", "cpu", "mps", "xpu"):
        assert not _traced(lambda x: (x @ x).softmax(-1), (torch.ones(3, 3),), device).findings


def test_a_device_that_nobody_knows_is_refused_in_one_line() -> None:
    with pytest.raises(AnalyzerError) as raised:
        Plan(device="tpu")  # type: ignore[arg-type]
    assert str(raised.value) == "unknown device 'tpu' (use one of cuda, cpu, mps, xpu)"
