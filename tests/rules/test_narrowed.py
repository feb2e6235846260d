"""DT405 and DT406 against what casts of whole models, DeepSpeed's engine and FSDP really do to values."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.ir.reason import Reason, kept_in_fp32
from analyzer.loaders.plan_application import apply_plan
from analyzer.rules import check
from analyzer.running.forward import capture
from tests.capture.real import bare
from tests.capture.wrapped import INPUTS, alone, engine, llama, shard

BF16 = torch.bfloat16


def _found(module: nn.Module, inputs: dict[str, Any], plan: Plan, **reasons: Reason) -> list[Finding]:
    """The findings of a module that was loaded with these reasons, and then cast as the plan says."""
    module = copy.deepcopy(module)
    after = apply_plan(module, plan, dict(reasons))
    loaded = Loaded(bare(module), "M", "", inputs, inventory=inventory_of(module, reasons=after))
    flow = Flow.as_captured(capture(loaded, plan).graph, plan)
    found = check(replace(flow, inventory=loaded.inventory))
    return [f for f in found if f.code in ("DT405", "DT406")]


class Routed(nn.Module):
    """A router whose bias decides by small differences, and a complex table."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8).to(BF16)
        self.bias = nn.Parameter(6.9 + torch.rand(8) / 100)
        self.register_buffer("table", torch.polar(torch.ones(4), torch.arange(4.0)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Which expert comes first."""
        return (self.proj(x).float() + self.bias.float()).argmax(-1)


@pytest.mark.parametrize("to", ["bfloat16", "float16", "float32", "float64"])
def test_a_cast_of_the_model_is_told_where_it_changes_what_a_list_keeps(to: str) -> None:
    module, x = Routed(), torch.ones(2, 8, dtype=getattr(torch, to))
    found = _found(module, {"x": x}, Plan(to=to, device="cpu"), bias=kept_in_fp32("_keep_in_fp32_modules"))
    real = copy.deepcopy(module).to(getattr(torch, to))
    changed = {
        name
        for name, before in (*module.named_parameters(), *module.named_buffers())
        if before.dtype != BF16 and not torch.equal(real.state_dict()[name].to(before.dtype), before)
    }
    assert {name for f in found for name in f.tensors} == changed
    assert {f.severity for f in found} <= {"warning"}
    assert ("table" in changed) and ("bias" in changed) == (to in ("bfloat16", "float16"))


def test_a_class_that_keeps_names_is_asked_even_where_it_was_loaded_in_float32() -> None:
    config = hf.T5Config(d_model=16, d_ff=32, num_layers=1, num_heads=2, d_kv=8, vocab_size=32)
    module = hf.T5ForConditionalGeneration(config).eval()
    ids = torch.ones(1, 4, dtype=torch.long)
    inputs = {"input_ids": ids, "decoder_input_ids": ids}
    (found,) = _found(module, inputs, Plan(to="float16", device="cpu"))
    assert (found.code, found.severity) == ("DT405", "warning")
    assert all(".wo." in name for name in found.tensors) and len(found.tensors) == 2
    assert not _found(module, inputs, Plan(to="float32", device="cpu"))


def test_what_nobody_keeps_is_cast_in_silence() -> None:
    assert not _found(nn.Linear(8, 8), {"input": torch.ones(1, 8, dtype=BF16)}, Plan(to="bfloat16", device="cpu"))


def test_deepspeed_and_fsdp_compute_in_what_they_were_told_also_with_what_a_list_keeps(tmp_path: Path) -> None:
    module = llama(BF16)
    module.model.norm.float()
    kept = {"model.norm.weight": kept_in_fp32("_keep_in_fp32_modules_strict")}
    one = Wrap(2, param_dtype="bfloat16")
    for training in (Training(deepspeed=Engine(2, "bfloat16")), Training(fsdp=one)):
        (found,) = [f for f in _found(module, INPUTS, Plan(device="cpu", training=training), **kept) if f.tensors]
        assert (found.code, found.tensors) == ("DT405", ("model.norm.weight",))
    with alone(tmp_path):
        real: Any = engine(copy.deepcopy(module), bf16={"enabled": True})[0]
        assert real.module.model.norm.weight.dtype == BF16


def _turns(angles: torch.Tensor) -> float:
    return float(angles.abs().max())


@pytest.mark.parametrize("to", ["bfloat16", "float16", None])
def test_a_rotary_table_that_a_cast_narrows_really_turns_by_other_angles(to: str | None) -> None:
    module = llama().eval()
    found = [f for f in _found(module, INPUTS, Plan(to=to, device="cpu")) if f.code == "DT406"]
    assert [f.tensors for f in found] == ([("model.rotary_emb.inv_freq",)] if to else [])
    x, positions = torch.ones(1, 1, 8), torch.tensor([[2000]])
    before = module.model.rotary_emb(x, positions)[0]
    after = copy.deepcopy(module).to(getattr(torch, to or "float32")).model.rotary_emb(x, positions)[0]
    assert bool(_turns(before - after.float()) > 0.02) == bool(to)


def test_fsdp1_really_narrows_the_rotary_table(tmp_path: Path) -> None:
    wrap = Wrap(1, param_dtype="bfloat16", reduce_dtype="bfloat16", buffer_dtype="bfloat16")
    for one, count in ((wrap, 1), (replace(wrap, buffer_dtype="float32"), 0), (replace(wrap, version=2), 0)):
        found = _found(llama(), INPUTS, Plan(device="cpu", training=Training(fsdp=one)))
        assert [f.code for f in found] == ["DT406"] * count
        assert all("modeling_llama.py" in f.file for f in found)
    with alone(tmp_path):
        real: Any = shard(llama(), wrap)
        before = real.module.model.rotary_emb.inv_freq.clone()
        real(**INPUTS)
        after = real.module.model.rotary_emb.inv_freq
        assert after.dtype == BF16 and not torch.equal(after.float(), before)


class Timed(nn.Module):
    """Sinusoids of a timestep, in a module of its own or in that of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8)

    def forward(self, timestep: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Embed and add."""
        angles = timestep.float()[:, None] * torch.arange(4).neg().exp()
        table = torch.cat([angles.sin(), angles.cos()], dim=-1)
        return self.proj(x + table.to(x.dtype)), table


@pytest.mark.parametrize("version", [1, 2])
def test_a_timestep_that_fsdp_casts_is_really_rounded(version: int, tmp_path: Path) -> None:
    wrap = Wrap(version, policy="none", param_dtype="bfloat16")
    inputs = {"timestep": torch.tensor([998.39]), "x": torch.ones(1, 8)}
    (found,) = _found(Timed(), inputs, Plan(device="cpu", training=Training(fsdp=wrap)))
    assert (found.code, found.severity) == ("DT406", "warning")
    with alone(tmp_path):
        real = shard(Timed(), wrap)(**inputs)[1]
    assert _turns(real.float() - Timed()(**inputs)[1]) > 0.5
    assert not _found(Timed(), inputs, Plan(device="cpu", training=Training(fsdp=replace(wrap, param_dtype=""))))
