"""What FSDP and DeepSpeed compute with, traced against the real ones on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from analyzer.capture import Captured
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.running.forward import capture, from_callable
from tests.capture.wrapped import INPUTS, alone, engine, llama, seen, shard

B = "bfloat16"
WRAPS = {
    "fsdp1, all": Wrap(1, param_dtype=B, reduce_dtype=B, buffer_dtype=B),
    "fsdp1, parameters": Wrap(1, param_dtype=B),
    "fsdp2, all": Wrap(2, param_dtype=B, reduce_dtype=B, output_dtype=B),
    "fsdp2, parameters": Wrap(2, param_dtype=B),
}


def _traced(module: Any, training: Training, **more: Any) -> tuple[Captured, dict[str, str]]:
    found, handles = seen(module)
    captured = capture(from_callable(module, (), INPUTS), Plan(device="cpu", train=True, training=training, **more))
    for handle in handles:
        handle.remove()
    return captured, dict(found())


@pytest.mark.parametrize("name", WRAPS)
def test_fsdp_computes_in_the_traced_dtypes(name: str, tmp_path: Path) -> None:
    wrap = WRAPS[name]
    with alone(tmp_path):
        real = shard(llama(), wrap)
        found, _ = seen(real)
        result: Any = real(**INPUTS)
        result.loss.backward()
        gradients = {str(p.grad.dtype) for p in real.parameters() if p.grad is not None}
    captured, traced = _traced(llama(), Training(fsdp=wrap))
    assert {k: v for k, v in traced.items() if k in found()} == found()
    assert len(found()) > 15
    specs = [captured.graph.spec(ref).dtype for ref in captured.graph.outputs]
    assert [f"torch.{s}" for s in specs[:2]] == [str(result.loss.dtype), str(result.logits.dtype)]
    assert gradients == {"torch.float32"}
    casts = [n for n in captured.graph.ops() if n.inserted == "fsdp"]
    assert casts
    assert not any(n.refused for n in captured.graph)


@pytest.mark.parametrize("dtype", [B, "float16"])
@pytest.mark.parametrize("name", [*WRAPS, "fsdp1, nothing", "fsdp2, nothing"])
def test_fsdp_under_autocast_computes_in_the_traced_dtypes(name: str, dtype: str, tmp_path: Path) -> None:
    wrap = WRAPS.get(name) or Wrap(int(name[4]))
    with alone(tmp_path):
        model = llama()
        found, _ = seen(model)  # hooks before those of FSDP, as below
        real = shard(model, wrap)
        with torch.autocast("cpu", getattr(torch, dtype)):
            result: Any = real(**INPUTS)
    captured, traced = _traced(llama(), Training(fsdp=wrap), autocast=f"cpu:{dtype}", scope="run")
    assert len(found()) > 15 and {k: v for k, v in traced.items() if k in found()} == found()
    specs = [captured.graph.spec(ref).dtype for ref in captured.graph.outputs]
    assert [f"torch.{s}" for s in specs[:2]] == [str(result.loss.dtype), str(result.logits.dtype)]
    assert not any(n.refused for n in captured.graph)


def test_fsdp2_that_casts_outputs_alone_is_refused_in_the_same_words(tmp_path: Path) -> None:
    wrap = Wrap(2, output_dtype=B)
    with alone(tmp_path), pytest.raises(RuntimeError) as raised:
        shard(llama(), wrap)(**INPUTS)
    captured, _ = _traced(llama(), Training(fsdp=wrap))
    (first, *_) = [n.refused for n in captured.graph if n.refused]
    assert first == str(raised.value)


@pytest.mark.parametrize("name", ["fsdp1, all", "fsdp2, all"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputations_use_the_parameters_that_fsdp_gathers(name: str, reentrant: bool, tmp_path: Path) -> None:
    wrap = WRAPS[name]
    kwargs = {"use_reentrant": reentrant}

    def prepared() -> Any:
        model = llama().train()
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable(kwargs)
        return model

    with alone(tmp_path):
        real = shard(prepared(), wrap)
        result: Any = real(**INPUTS)
        result.loss.backward()
    captured, _ = _traced(prepared(), Training(fsdp=wrap))
    again = [n for n in captured.graph.ops() if n.phase == "recompute" and n.op == "aten.mm.default"]
    assert captured.stop is None and again
    assert {s.dtype for n in again for s in n.outputs} == {"bfloat16"}


def test_what_is_stored_stays_and_the_model_is_as_it_was() -> None:
    module = llama()
    captured, _ = _traced(module, Training(fsdp=WRAPS["fsdp1, all"]))
    assert {n.dtype for n in captured.graph.stored() if n.op == "parameter"} == {"float32"}
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_deepspeed_casts_parameters_and_leaves_buffers(tmp_path: Path) -> None:
    module = llama()
    with alone(tmp_path):
        real, optimizer = engine(module)
        found, _ = seen(real.module)
        result = real(**INPUTS)
        real.backward(result.loss)
        gradients = {p.grad.dtype for p in module.parameters() if p.grad is not None}
        real.step()
        states = {t.dtype for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)}
    assert {b.dtype for b in module.buffers()} == {torch.float32}
    assert states == {torch.float32}  # of the masters
    assert gradients == {torch.bfloat16}
    captured, traced = _traced(llama(), Training(deepspeed=Engine(dtype=B)))
    assert traced == found()
    casts = [n for n in captured.graph.ops() if n.inserted == "deepspeed"]
    assert len(casts) == len(list(llama().parameters()))


class Normed(torch.nn.Module):
    """A batch norm between two layers, which FSDP1 leaves in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2)

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Ids as floats."""
        return self.last(self.norm(self.first(input_ids.float().view(2, 4))))  # type: ignore[no-any-return]


def test_a_batch_norm_is_a_float32_unit_of_fsdp1(tmp_path: Path) -> None:
    wrap = Wrap(1, classes=("Linear",), param_dtype=B, buffer_dtype=B)
    with alone(tmp_path), pytest.raises(RuntimeError) as raised:
        shard(Normed(), wrap)(**INPUTS)
    captured, _ = _traced(Normed(), Training(fsdp=wrap))
    (first, *_) = [n.refused for n in captured.graph if n.refused]
    assert first == str(raised.value)
    norm = next(n for n in captured.graph.ops() if "batch_norm" in n.op)
    assert {captured.graph.spec(ref).dtype for ref in norm.operands()} == {"float32"}
