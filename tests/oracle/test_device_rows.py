"""Every row of a data file: readable, with a proof, of a real overload, other than the CPU says, true on a device."""

from __future__ import annotations

import re

import pytest
import torch

from analyzer import oracle
from analyzer.ir.graph import Spec
from analyzer.oracle import Dtypes, Refused, ask, device_rows, overload, record
from analyzer.oracle.device_rows import FROM_SOURCE, RECORDED, Row
from analyzer.oracle.signatures import SIGNATURES, Signature, fill

ROWS = device_rows.load("cuda").rows
PINNED = torch.__version__.startswith("2.13.")


def _trim(dtypes: tuple[str | None, ...]) -> list[str | None]:
    kept = list(dtypes)
    while kept and kept[-1] is None:
        kept.pop()
    return kept


def _signature(row: Row) -> Signature:
    """The signature of the table that a row is about: as many operands, and absent ones at the same places."""
    absent = [d is None for d in _trim(row.dtypes)]
    found = [s for s in SIGNATURES if s.op == row.op and record.static(s) == row.static]
    (one,) = [s for s in found if [d is None for d in _trim(record.operands(s, {}))] == absent]
    return one


def _asked(row: Row, device: str) -> oracle.Answer:
    signature, dtypes = _signature(row), [d for d in row.dtypes if d]
    positional = fill(signature.args, dtypes)
    rest = dtypes[sum(d is not None for d in _specs(signature.args)) :]
    return ask(row.op, positional, tuple((k, fill(v, rest)) for k, v in signature.kwargs), device)


def _specs(arg: object) -> list[Spec]:
    if isinstance(arg, Spec):
        return [arg]
    return [spec for item in arg for spec in _specs(item)] if isinstance(arg, tuple) else []


def test_there_are_rows_for_the_differences_that_bite() -> None:
    ops = {row.op.split(".")[1] for row in ROWS}
    assert {"native_layer_norm", "native_group_norm", "native_batch_norm", "convolution", "mm"} <= ops
    assert {"index_put", "masked_scatter", "_scaled_dot_product_flash_attention", "_scaled_mm"} <= ops


@pytest.mark.parametrize("op", sorted({row.op for row in ROWS}))
def test_a_row_is_of_a_real_overload_and_says_where_it_is_read(op: str) -> None:
    schema = overload(op)._schema
    tensors = [a for a in schema.arguments if "Tensor" in str(a.type)]
    for row in (row for row in ROWS if row.op == op):
        assert len(_trim(row.dtypes)) <= len(tensors)
        assert bool(row.refused) != bool(row.gives)
        assert row.source in (FROM_SOURCE, RECORDED)
        pattern = r"torch \d" if row.source == RECORDED else r"\w+(/[\w.-]+)?#\d+|@[0-9a-f]{7}, \w"
        assert re.search(pattern, row.reference), row.reference
        assert set(dict(row.static)) <= {a.name for a in schema.arguments}


def test_the_file_is_sorted_stable_and_without_two_answers() -> None:
    keys = [row.key for row in ROWS]
    assert keys == sorted(set(keys))
    assert device_rows.parse(device_rows.dump(device_rows.load("cuda"))) == device_rows.load("cuda")


@pytest.mark.skipif(not PINNED, reason="the CPU's words belong to one torch")
@pytest.mark.parametrize("op", sorted({row.op for row in ROWS}))
def test_no_row_says_what_the_cpu_says_anyway(op: str) -> None:
    for row in (row for row in ROWS if row.op == op):
        said = _asked(row, "cpu")
        assert said != (Refused(row.refused, gap=getattr(said, "gap", False)) if row.refused else Dtypes(row.gives))


@pytest.mark.parametrize("op", sorted({row.op for row in ROWS}))
def test_the_row_decides_for_its_device_alone(op: str) -> None:
    for row in (row for row in ROWS if row.op == op):
        expected = Refused(row.refused, asked=row.witness("cuda")) if row.refused else Dtypes(row.gives)
        assert _asked(row, "cuda") == expected


def test_without_a_row_the_cpu_answers_and_the_refusal_says_so() -> None:
    call = ("aten.mv.default", (Spec("float32", (2, 3)), Spec("bfloat16", (3,))))
    here, there = ask(*call), ask(*call, device="cuda")
    assert isinstance(here, Refused) and isinstance(there, Refused)
    assert (here.message, here.asked.text, there.asked.text) == (there.message, "cpu", "as on CPU")


def test_a_recorded_row_goes_before_one_from_source(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Row("aten.mv.default", ("float32", "float32"), (), "no", (), FROM_SOURCE, "pytorch#1")
    heard = Row("aten.mv.default", ("float32", "float32"), (), "", ("float32",), RECORDED, "torch 2.13.0, A100")
    monkeypatch.setattr(device_rows, "load", lambda device: device_rows.Answers((read, heard)))
    device_rows._by_op.cache_clear()
    try:
        call = (Spec("float32", (2, 3)), Spec("float32", (3,)))
        assert ask("aten.mv.default", call, device="cuda") == Dtypes(("float32",))
    finally:
        device_rows._by_op.cache_clear()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("op", sorted({row.op for row in ROWS}))
def test_the_device_itself_says_what_the_row_says(op: str) -> None:
    for row in (row for row in ROWS if row.op == op):
        signature = _signature(row)
        if not record.record("cuda", [signature]):
            pytest.skip("this device runs the operation in no dtype")
        said = record.put(signature, tuple(d for d in row.dtypes if d), "cuda")
        assert said == (row.refused or row.gives), row
