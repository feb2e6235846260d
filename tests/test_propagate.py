"""Origins, and "what if" against a real run in the other dtype."""

from __future__ import annotations

import pytest
import torch

from analyzer.ir.flow import Flow
from analyzer.ir.graph import Ref
from analyzer.ir.plan import Plan
from analyzer.propagate import disagreements, propagate
from analyzer.running.forward import capture, from_callable
from tests.capture.models import MODELS, Resampler, make
from tests.capture.real import traced


def _flow() -> Flow:
    captured = capture(from_callable(Resampler().to("meta"), (torch.ones(7, 1, 32).bfloat16(),), {}), Plan())
    return propagate(captured.graph, Plan())


def test_blame_is_on_the_promotions_wide_operand_alone() -> None:
    flow = _flow()
    (refused,) = flow.refusals
    odd = [ref for ref in flow.graph[refused].operands() if flow.dtype(ref) == "float32"]
    assert [o.name for o in flow.origins(odd[0])] == ["pos_embed"]


def test_what_if_the_parameter_were_bfloat16() -> None:
    flow = _flow()
    assert not propagate(flow.graph, Plan(), {"pos_embed": "bfloat16"}).refusals
    assert flow.dtype(Ref("pos_embed")) == "float32"


@pytest.mark.parametrize("name", MODELS)
def test_changing_every_stored_float_is_the_capture_in_that_dtype(name: str) -> None:
    wide, _ = traced(*make(name, torch.float32))
    narrow, _ = traced(*make(name, torch.bfloat16))
    if len(wide.graph) != len(narrow.graph):
        pytest.skip("the code reads dtypes and takes another way, so only a second capture can tell")
    changed = {
        n.id: "bfloat16" for n, m in zip(wide.graph, narrow.graph, strict=True) if n.dtype != m.dtype and not n.is_op
    }
    flow = propagate(wide.graph, Plan(device="cpu"), changed)
    ops = [n for n in narrow.graph.ops() if n.op != "aten._to_copy.default"]
    same_args = [n for n in ops if wide.graph.nodes.get(n.id) and wide.graph[n.id].args == n.args]
    assert all(flow.dtypes[n.id] == tuple(s.dtype for s in n.outputs) for n in same_args)
    assert not list(disagreements(propagate(narrow.graph, Plan(device="cpu"))))


@pytest.mark.parametrize(("key_width", "value_width"), [(8, 8), (8, 6)], ids=["fused", "in steps"])
def test_the_steps_inside_a_refused_call_are_read_as_they_were_repaired(key_width: int, value_width: int) -> None:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    narrow = torch.ones(1, 2, 4, key_width, dtype=torch.bfloat16)
    given = (narrow.float(), narrow.float(), torch.ones(1, 2, 4, value_width, dtype=torch.bfloat16))
    with pytest.raises(RuntimeError) as raised:
        attend(*given)
    captured = capture(from_callable(attend, given, None), Plan(device="cpu"))
    flow = propagate(captured.graph, Plan(device="cpu"))
    assert list(flow.refusals.values()) == [str(raised.value)]
    assert not list(disagreements(flow))
