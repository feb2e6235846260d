"""Masters and moments of real ZeRO engines, one step on the CPU, against the plans made of their configurations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from analyzer import plans
from analyzer.capture.module_inventory import inventory_of
from analyzer.errors import AnalyzerError
from analyzer.training.optimizer_dtypes import moments, updated
from tests.capture.wrapped import alone, engine

ON: dict[str, Any] = {"enabled": True}
MASTERS: dict[str, Any] = {"bf16_master_weights_and_grads": True}
STATES: dict[str, Any] = {"bf16_optimizer_states": True}
CONFIGS: list[dict[str, Any]] = [
    {"bf16": ON},
    {"bf16": ON | MASTERS},
    {"bf16": ON | STATES},
    {"bf16": ON | MASTERS | STATES},
    {"bf16": MASTERS | STATES},
    {"bf16": ON | MASTERS | STATES, "data_types": {"grad_accum_dtype": "fp32"}},
    {"bf16": ON | MASTERS | STATES, "fp16": {"fp16_master_weights_and_grads": True}},
    {"bf16": ON, "fp16": {"fp16_master_weights_and_grads": True}},
]


@pytest.fixture(autouse=True)
def _linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """ZeRO-3 puts a function of its own in the place of torch's, and leaves it there."""
    monkeypatch.setattr(nn.functional, "linear", nn.functional.linear)


def _really(config: dict[str, Any], folder: Path) -> tuple[set[str], set[str]]:
    """Dtypes of the masters and of the moments after a step."""
    with alone(folder):
        wrapped, optimizer = engine(nn.Sequential(nn.Linear(4, 4)), **config)
        dtype = torch.bfloat16 if config["bf16"].get("enabled") else torch.float32
        wrapped.backward(wrapped(torch.ones(1, 4, dtype=dtype)).float().sum())
        wrapped.step()
    inner = optimizer.optimizer
    masters = getattr(optimizer, "fp32_partitioned_groups_flat", None)
    if masters is None:
        masters = [p for group in inner.param_groups for p in group["params"]]
    states = [s for of in inner.state.values() for name, s in of.items() if name.startswith("exp_avg")]
    return _names(masters), _names(states)


def _names(tensors: list[torch.Tensor]) -> set[str]:
    return {str(one.dtype).removeprefix("torch.") for one in tensors}


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("sections", CONFIGS, ids=str)
def test_masters_and_moments_are_those_of_the_engine(sections: dict[str, Any], stage: int, tmp_path: Path) -> None:
    pytest.importorskip("deepspeed", minversion="0.18.4")
    zero = {"zero_optimization": {"stage": stage}}
    file = tmp_path / "ds.json"
    given = {"type": "AdamW", "params": {"torch_adam": True}}
    file.write_text(json.dumps({"bf16": {"enabled": False}, "optimizer": given, **sections, **zero}))
    try:
        really = _really({**sections, **zero}, tmp_path)
    except (AssertionError, NotImplementedError) as error:
        if isinstance(error, NotImplementedError):  # DT505's
            assert "unsupported mix" in str(error)
            return
        with pytest.raises(AnalyzerError) as ours:
            plans.make({}, [file])
        assert ours.value.message.removeprefix("ds.json: ") in str(error)
        return
    (plan,) = plans.make({}, [file])
    module = nn.Sequential(nn.Linear(4, 4)).to(torch.bfloat16 if sections["bf16"].get("enabled") else torch.float32)
    inventory = inventory_of(module)
    ours = {dtype for _, dtype in updated(plan, inventory)}, {dtype for _, dtype in moments(plan, inventory)}
    assert ours == really


_CPU: dict[str, Any] = {"stage": 2, "offload_optimizer": {"device": "cpu"}}
_ADAM: dict[str, Any] = {"type": "AdamW", "params": {}}


@pytest.mark.parametrize(
    ("sections", "states", "expected"),
    [
        ({"bf16": ON | MASTERS}, None, ("bfloat16", "float32")),
        ({"bf16": ON | MASTERS}, False, ("bfloat16", "bfloat16")),
        ({"bf16": ON | MASTERS | STATES}, None, ("bfloat16", "bfloat16")),
        ({"fp16": ON | {"fp16_master_weights_and_grads": True}}, None, ("float16", "float32")),
        ({"fp16": ON | {"fp16_master_weights_and_grads": True}}, False, ("float16", "float16")),
    ],
    ids=str,
)
def test_offloaded_to_the_cpu(sections: dict[str, Any], states: Any, expected: tuple[str, str], tmp_path: Path) -> None:
    """As seen with deepspeed 0.19.8, whose DeepSpeedCPUAdam is compiled first, which no test waits for."""
    params = {} if states is None else {"fp32_optimizer_states": states}
    config = {**sections, "zero_optimization": _CPU, "optimizer": {"type": "AdamW", "params": params}}
    file = tmp_path / "ds.json"
    file.write_text(json.dumps(config))
    (plan,) = plans.make({}, [file])
    inventory = inventory_of(nn.Linear(4, 4))
    (master,), (state,) = ({dtype for _, dtype in of(plan, inventory)} for of in (updated, moments))
    assert (master, state) == expected
    for refused in ({"type": "AdamW", "params": {"torch_adam": True}}, {"type": "Adagrad"}):
        file.write_text(json.dumps({**config, "optimizer": refused}))
        with pytest.raises(AnalyzerError, match="requires ZeRO-2 Offload with DeepSpeedCPUAdam"):
            plans.make({}, [file])


def test_a_plan_file_keeps_them(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    (made,) = plans.make({}, [_written(tmp_path)])
    file.write_bytes(plans.dump([made]))
    assert plans.make({}, plan_file=file) == (made,)
    assert made.training is not None and made.training.deepspeed is not None
    other = replace(made.training.deepspeed, master_dtype="")
    assert other != made.training.deepspeed and "master_dtype=bf16" in made.line()


def _written(folder: Path) -> Path:
    file = folder / "ds.json"
    config = {"bf16": ON | MASTERS, "zero_optimization": _CPU, "optimizer": _ADAM}
    file.write_text(json.dumps(config))
    return file
