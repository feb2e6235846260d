"""Rules about training set-ups against the libraries: the words, and what is lost, of real FSDP, scalers and Adam."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from analyzer.capture.module_inventory import inventory_of
from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.graph import ModelGraph
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.rules import check
from analyzer.running.forward import capture, from_callable
from analyzer.training.optimizer_dtypes import HALVES
from analyzer.training.optimizers import lost
from tests.capture.wrapped import INPUTS, alone, engine, llama, shard

BF16, F32 = torch.bfloat16, torch.float32


def _found(module: nn.Module, training: Training | None, train: bool = True) -> list[Finding]:
    flow = Flow.as_captured(ModelGraph(), Plan(train=train, training=training))
    return check(replace(flow, inventory=inventory_of(module)))


def _norm(module: Any) -> None:
    module.model.layers[1].input_layernorm.to(F32)


def _frozen(module: Any) -> None:
    module.model.layers[0].mlp.requires_grad_(False)


def _frozen_norm(module: Any) -> None:
    _norm(module)
    module.model.layers[1].input_layernorm.requires_grad_(False)


def _head(module: Any) -> None:
    module.lm_head.to(F32)


def _adapters(module: Any) -> None:
    """Adapters in float32 in a frozen base, as PEFT leaves them."""
    module.requires_grad_(False)
    for layer in module.model.layers:
        layer.self_attn.lora_A = nn.Linear(32, 4, bias=False, dtype=F32)


def _nothing(module: Any) -> None:
    pass


@pytest.mark.parametrize("change", [_norm, _frozen, _frozen_norm, _head, _adapters, _nothing])
@pytest.mark.parametrize("wrap", [Wrap(1), Wrap(1, use_orig_params=False), Wrap(2)], ids=str)
def test_dt501_says_what_the_real_fsdp_says(change: Any, wrap: Wrap, tmp_path: Path) -> None:
    module = llama(BF16)
    change(module)
    said = [f for f in _found(module, Training(fsdp=wrap)) if f.code == "DT501"]
    raised = ""
    with alone(tmp_path):
        try:
            shard(module, wrap)(**INPUTS)
        except (ValueError, AssertionError) as error:
            raised = str(error)
        except RuntimeError:  # the mixture that was let through meets in a kernel
            assert change in (_norm, _frozen_norm, _head)
    words = [f.message for f in said][:1]
    assert words == [_sorted(raised)] * bool(raised)


def _sorted(words: str) -> str:
    """The words of torch with the set in them in order."""
    return re.sub(r"\{(.*)\}", lambda m: "{" + ", ".join(sorted(m[1].split(", "))) + "}", words)


def test_dt501_names_the_odd_tensors_and_finds_all_units_at_once() -> None:
    module = llama(BF16)
    _adapters(module)
    (found,) = [f for f in _found(module, Training(fsdp=Wrap(1))) if f.code == "DT501"]
    assert found.tensors == tuple(f"model.layers.{i}.self_attn.lora_A.weight" for i in (0, 1))


def test_what_accelerate_widens_is_uniform_for_fsdp2_alone() -> None:
    module = llama(BF16)
    _norm(module)
    for version, count in ((1, 1), (2, 0)):
        training = Training(mixed_precision="bf16", fsdp=Wrap(version))
        assert sum(f.code == "DT501" for f in _found(module, training)) == count


def test_a_layer_class_that_is_not_there_is_an_error_in_accelerates_words() -> None:
    module = llama()
    plan = Plan(training=Training(fsdp=Wrap(classes=("BertLayer",))))
    with pytest.raises(AnalyzerError, match="Could not find the transformer layer class BertLayer in the model"):
        capture(from_callable(module, (), INPUTS), plan)


@pytest.mark.parametrize("dtype", [torch.float16, BF16, F32], ids=str)
def test_dt502_says_what_a_real_scaler_says(dtype: torch.dtype) -> None:
    module = nn.Linear(4, 4, dtype=dtype)
    scaler, raised = torch.amp.GradScaler("cpu"), ""
    optimizer = torch.optim.AdamW(module.parameters(), foreach=False)
    scaler.scale(module(torch.ones(2, 4, dtype=dtype)).sum()).backward()
    try:
        scaler.unscale_(optimizer)
    except ValueError as error:
        raised = str(error)
    said = [f.message for f in _found(module, Training(scaler=True)) if f.code == "DT502"]
    assert said == [raised] * bool(raised)
    assert bool(raised) == (dtype == torch.float16)


def test_dt502_is_silent_where_masters_or_another_scaler_take_over() -> None:
    module = nn.Linear(4, 4, dtype=torch.float16)
    others = (Training(scaler=True, fsdp=Wrap(1)), Training(scaler=True, deepspeed=Engine(dtype="float16")))
    assert not [f for t in others for f in _found(module, t) if f.code == "DT502"]


@pytest.mark.parametrize("name", HALVES)
def test_dt503_a_real_step_of_adamw_under_its_share_is_lost(name: str) -> None:
    dtype, share = getattr(torch, name), HALVES[name]
    kept = []
    for kind in (dtype, F32):
        weight = nn.Parameter(torch.ones(4, dtype=kind))
        optimizer = torch.optim.AdamW([weight], lr=0.9 / share, weight_decay=0.0)
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        kept.append(bool((weight == 1).all()))
    assert kept == [True, False]


def test_dt503_speaks_of_adapters_in_16_bits_alone() -> None:
    module = llama(BF16)
    _adapters(module)
    assert "DT503" not in {f.code for f in _found(module, None)}
    module.to(BF16)
    (found,) = _found(module, None)
    assert (found.code, found.severity, len(found.tensors)) == ("DT503", "warning", 2)
    assert not _found(module, None, train=False)
    assert not _found(module, Training(deepspeed=Engine(2, "bfloat16")))  # the engine has float32 masters
    assert not _found(llama(BF16), None)  # nothing is frozen


@pytest.mark.parametrize("how", [{"foreach": False}, {"foreach": True}], ids=str)
def test_dt504_moments_in_float16_really_break_a_step(how: dict[str, bool]) -> None:
    module = nn.Linear(4, 4, bias=False, dtype=torch.float16)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, **how)
    module.weight.grad = torch.full_like(module.weight, 1e-3)
    optimizer.step()
    (state,) = optimizer.state.values()
    assert state["exp_avg"].dtype == state["exp_avg_sq"].dtype == torch.float16
    assert not state["exp_avg_sq"].any()
    assert not module.weight.isfinite().any()
    (found,) = _found(module, Training(optimizer="adamw_torch"))
    assert (found.code, found.severity) == ("DT504", "warning")
    assert {f.code for f in _found(module, Training(optimizer="paged_adamw_32bit"))} == {"DT506"}  # its states are wide


def test_dt504_the_second_moment_in_bfloat16_really_does_not_decay() -> None:
    left = []
    for dtype in (BF16, F32):
        weight = nn.Parameter(torch.ones(4, dtype=dtype))
        optimizer = torch.optim.AdamW([weight], lr=1e-5)
        for gradient in [1.0, *[0.0] * 500]:
            weight.grad = torch.full_like(weight, gradient)
            optimizer.step()
        moments = optimizer.state[weight]["exp_avg_sq"]
        left.append(float(moments[0] / 1e-3))
    assert left[0] > 0.99
    assert left[1] < 0.65
    (found,) = _found(nn.Linear(4, 4, dtype=BF16), Training(optimizer="adamw_torch"))
    assert (found.code, found.severity) == ("DT504", "warning")
    assert "the second moment does not decay" in found.message
    (found,) = _found(nn.Linear(4, 4, dtype=BF16), Training(optimizer="adamw_torch", beta2=0.95))
    assert "moment" not in found.message


@pytest.mark.parametrize("name", HALVES)
def test_dt504_no_weight_over_the_bound_moves_by_a_real_adamw(name: str) -> None:
    dtype, lr = getattr(torch, name), 1e-5
    bound = lr * HALVES[name]
    weight = nn.Parameter(torch.linspace(0, 0.1, 1001).to(dtype))
    before = weight.detach().clone()
    optimizer = torch.optim.AdamW([weight], lr=lr, weight_decay=0.0, eps=1e-4)
    for _ in range(5):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    moved = weight != before
    assert not moved[before.float() > bound].any()
    assert moved[before.float() < bound / 2].all()
    assert f"moves no weight over {bound:.2g}" in lost(
        Training(optimizer="adamw_torch", learning_rate=lr), HALVES[name]
    )


def _optimizers() -> dict[str, Any]:
    from transformers.optimization import Adafactor

    found = {n: getattr(torch.optim, n) for n in ("SGD", "Adagrad", "Adamax", "NAdam", "RAdam", "Adadelta", "AdamW")}
    found["adafactor"] = partial(Adafactor, scale_parameter=False, relative_step=False)
    if find_spec("bitsandbytes"):
        import bitsandbytes

        kinds = {"adamw_bnb_8bit": "AdamW8bit", "paged_adamw_32bit": "PagedAdamW32bit", "lion_8bit": "Lion8bit"}
        found |= {name: getattr(bitsandbytes.optim, kind) for name, kind in kinds.items()}
    return found


@pytest.mark.parametrize("name", _optimizers())
def test_dt506_an_optimizer_that_is_told_really_loses_small_steps(name: str) -> None:
    moved = {}
    for dtype in (BF16, F32):
        weight = nn.Parameter(torch.ones(4096, dtype=dtype))  # bitsandbytes keeps small ones in 32 bits
        optimizer = _optimizers()[name]([weight], lr=1e-4)
        for _ in range(3):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        moved[dtype] = bool((weight != 1).any())
    assert moved == {BF16: False, F32: True}
    (found,) = _found(nn.Linear(4, 4, dtype=BF16), Training(optimizer=name))
    assert (found.code, found.severity) == ("DT504" if name == "AdamW" else "DT506", "warning")
    assert not _found(nn.Linear(4, 4, dtype=F32), Training(optimizer=name))


def test_what_holds_the_updates_is_quiet() -> None:
    module = nn.Linear(4, 4, dtype=BF16)
    for quiet in (
        Training(optimizer="stable_adamw"),
        Training(optimizer="adamw_torch_8bit", compensated=True),
        Training(optimizer="adamw_torch", deepspeed=Engine(2, "bfloat16")),
        Training(optimizer="sgd", mixed_precision="bf16", fsdp=Wrap(1)),  # accelerate widens what is trained
        Training(optimizer="an_optimizer_of_their_own"),
    ):
        assert not _found(module, quiet), quiet


def test_a_small_part_is_told_once() -> None:
    module = llama(BF16)
    _adapters(module)
    module.to(BF16)
    for name in ("adamw_torch", "sgd"):
        assert [f.code for f in _found(module, Training(optimizer=name))] == ["DT503"]
    assert not _found(module, Training(optimizer="stable_adamw"))


@pytest.mark.parametrize(("stage", "accumulate"), [(0, "fp32"), (0, "bf16"), (2, "fp32")])
def test_dt505_says_what_the_real_engine_says(stage: int, accumulate: str, tmp_path: Path) -> None:
    raised = ""
    with alone(tmp_path):
        try:
            engine(llama(), zero_optimization={"stage": stage}, data_types={"grad_accum_dtype": accumulate})
        except NotImplementedError as error:
            raised = str(error)
    name = {"fp32": "float32", "bf16": "bfloat16"}[accumulate]
    found = _found(llama(), Training(deepspeed=Engine(stage, "bfloat16", accumulation_dtype=name)))
    assert [f.message for f in found if f.code == "DT505"] == [raised] * bool(raised)
    assert bool(raised) == (stage == 0 and accumulate == "fp32")
