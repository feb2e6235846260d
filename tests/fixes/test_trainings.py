"""Errors of FSDP, of a GradScaler and of DeepSpeed: what `analyze fix` proves to clear them, done to the libraries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from analyzer.actions.fix import run_fix
from analyzer.capture.module_inventory import inventory_of
from analyzer.cli import main
from analyzer.fixes.training_changes import trainings, unproposed
from analyzer.ir.fixes.proposals import Trial
from analyzer.ir.flow import Flow
from analyzer.ir.graph import ModelGraph
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.loaders.request import ModelRequest
from analyzer.plans import dump
from analyzer.plans.plan_file import load as read_plan
from analyzer.rules import check
from tests.capture.wrapped import INPUTS, alone, llama, shard


def _folder(path: Path, dtype: str) -> Path:
    module = llama(getattr(torch, dtype))
    module.save_pretrained(path)
    settings = json.loads((path / "config.json").read_text()) | {"dtype": dtype}
    (path / "config.json").write_text(json.dumps(settings))
    return path


def _clearing(folder: Path, plan: Plan) -> dict[str, Trial]:
    """What clears all errors, by its words."""
    errors, trials, _ = run_fix(ModelRequest(folder), [plan])
    assert errors
    return {trial.proposal.what: trial for trial in trials if trial.clears}


@pytest.mark.parametrize("wrap", [Wrap(1), Wrap(2)], ids=["fsdp1", "fsdp2"])
def test_odd_parameters_of_a_unit_are_cast_or_widened(wrap: Wrap, tmp_path: Path) -> None:
    odd = {"model.layers.1.input_layernorm.weight": "float32"}
    plan = Plan(train=True, dtype="bfloat16", set=odd, training=Training(fsdp=wrap))
    clearing = _clearing(_folder(tmp_path / "m", "bfloat16"), plan)
    mending = [trial for trial in clearing.values() if trial.proposal.kind in ("stored", "recipe")]
    kinds = {trial.proposal.kind for trial in mending}
    assert kinds == ({"stored"} if wrap.version == 1 else {"stored", "recipe"})
    for number, trial in enumerate(mending):
        after = trial.proposal.plan(plan)
        assert after.training and after.training.fsdp
        module: Any = llama(torch.bfloat16)
        for name, dtype in after.set.items():
            parameter = module.get_parameter(name)
            parameter.data = parameter.data.to(getattr(torch, dtype))
        if after.training.mixed_precision:  # as accelerate does before it shards
            module.float()
        folder = tmp_path / str(number)
        folder.mkdir()
        with alone(folder):
            shard(module, after.training.fsdp)(**INPUTS)
    module = llama(torch.bfloat16)
    module.model.layers[1].input_layernorm.float()
    (tmp_path / "faulty").mkdir()
    with alone(tmp_path / "faulty"), pytest.raises((ValueError, AssertionError), match="uniform"):
        shard(module, wrap)(**INPUTS)


def test_half_parameters_under_a_scaler_are_loaded_wide_or_trained_in_bfloat16(tmp_path: Path) -> None:
    training = Training(mixed_precision="fp16", scaler=True)
    plan = Plan(train=True, autocast="cuda:float16", training=training)
    clearing = _clearing(_folder(tmp_path / "m", "float16"), plan)
    assert len(clearing) == 2
    for after in (plan, *(trial.proposal.plan(plan) for trial in clearing.values())):
        assert after.training
        layer = nn.Linear(4, 4, dtype=getattr(torch, after.dtype or "float16"))
        optimizer = torch.optim.AdamW(layer.parameters(), foreach=False)
        scaler = torch.amp.GradScaler("cpu", enabled=after.training.scaler)
        assert after.autocast
        with torch.autocast("cpu", getattr(torch, after.autocast.partition(":")[2])):
            loss = layer(torch.ones(2, 4)).sum()
        scaler.scale(loss).backward()
        if after is plan:
            with pytest.raises(ValueError, match="Attempting to unscale FP16 gradients"):
                scaler.unscale_(optimizer)
            continue
        scaler.step(optimizer)
        assert layer.weight.dtype != torch.float16


def test_an_accumulation_dtype_is_left_out_or_zero_is_used(tmp_path: Path) -> None:
    engine = Engine(stage=0, dtype="bfloat16", accumulation_dtype="float32")
    plan = Plan(train=True, to="bfloat16", training=Training(deepspeed=engine))
    clearing = _clearing(_folder(tmp_path / "m", "bfloat16"), plan)
    changed = {trial.proposal.plan(plan).training for trial in clearing.values()}
    assert changed == {
        Training(deepspeed=replace(engine, accumulation_dtype="")),
        Training(deepspeed=replace(engine, stage=1)),
    }


def test_another_recipe_is_applied_as_a_plan(tmp_path: Path) -> None:
    engine = Engine(stage=0, dtype="bfloat16", accumulation_dtype="float32")
    plan = Plan(train=True, to="bfloat16", training=Training(deepspeed=engine))
    folder, before, after = _folder(tmp_path / "m", "bfloat16"), tmp_path / "before.json", tmp_path / "after.json"
    before.write_bytes(dump(plan))
    assert main(["fix", str(folder), "--plan", str(before), "--apply", str(after)]) == 0
    (applied,) = read_plan(after)
    assert applied.training and applied.training.deepspeed != engine
    assert run_fix(ModelRequest(folder), [applied]) == (0, [], "")
    assert main(["fix", str(folder), "--plan", str(after)]) == 0


def test_frozen_parameters_beside_trained_ones_are_flattened_apart_by_another_key(tmp_path: Path) -> None:
    wrap = Wrap(1, use_orig_params=False)
    flow = Flow.as_captured(ModelGraph(), Plan(train=True, training=Training(fsdp=wrap)))
    module: Any = llama(torch.bfloat16)
    module.model.layers[0].mlp.requires_grad_(False)
    flow = replace(flow, inventory=inventory_of(module))
    (found,) = check(flow)
    (proposal,) = trainings(flow, found)
    after = proposal.plan(flow.plan)
    assert not check(replace(flow, plan=after))
    assert after.training and after.training.fsdp
    with alone(tmp_path):
        shard(module, after.training.fsdp)(**INPUTS)


def test_what_no_cast_clears_is_said() -> None:
    flow = Flow.as_captured(ModelGraph(), Plan(train=True, training=Training(fsdp=Wrap(1))))
    module: Any = llama(torch.bfloat16)
    module.counts = nn.Parameter(torch.ones(3, dtype=torch.int64), requires_grad=False)
    flow = replace(flow, inventory=inventory_of(module))
    (found,) = check(flow)
    assert found.message == "Cannot flatten integer dtype tensors"
    assert list(trainings(flow, found)) == []
    assert "integers cannot be flattened" in unproposed(found)
