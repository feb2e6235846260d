"""Kernels are asked on operands as small as will do, and what they give counts as well as what they take."""

from __future__ import annotations

import pytest
import torch

from analyzer.ir.graph import Spec
from analyzer.oracle import Dtypes, Refused, ask

LONG = 200_000


@pytest.mark.parametrize("op", ["aten.mm.default", "aten.mul.Tensor"])
def test_a_product_that_would_be_large_is_never_made(op: str) -> None:
    resource = pytest.importorskip("resource", reason="POSIX alone tells the memory of a process")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    column, row = Spec("bfloat16", (LONG, 1)), Spec("bfloat16", (1, LONG))
    assert ask(op, (column, row)) == Dtypes(("bfloat16",))
    refused = ask("aten.mm.default", (column, Spec("float32", (1, LONG))))
    with pytest.raises(RuntimeError) as raised:
        torch.mm(torch.ones(2, 1, dtype=torch.bfloat16), torch.ones(1, 2))
    assert isinstance(refused, Refused) and refused.message == str(raised.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 1 << 20  # KiB; the whole product would take 75 GiB
