"""What accelerate's plugins and DeepSpeed's engine make of a set-up, against the plans made of the same files."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import TrainingArguments

from analyzer import plans
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from tests.capture.wrapped import alone, engine

_NAMES = {"bf16": "bfloat16", "fp16": "float16"}
_BARE: dict[str, Any] = {"train_batch_size": "auto", "zero_optimization": {"stage": 2}}
_SECTIONS = pytest.mark.parametrize(
    "sections",
    [
        {},
        {"bf16": {}},
        {"bf16": {"enabled": "auto"}},
        {"bf16": {"enabled": "auto"}, "fp16": {"enabled": "auto"}},
        {"bf16": {"enabled": False}},
        {"bf16": {"enabled": True}},
        {"fp16": {"enabled": True}},
    ],
    ids=str,
)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What the libraries and the tests put into the environment outlives no test."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("ACCELERATE_", "FSDP_"))]:
        del os.environ[name]
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"})
    yield
    os.environ.clear()
    os.environ.update(before)


def _engine_dtype(config: dict[str, Any]) -> str:
    return next((name for key, name in _NAMES.items() if (config.get(key) or {}).get("enabled") is True), "")


def _planned(made: Plan) -> tuple[str, str | None]:
    assert made.training is not None and made.training.deepspeed is not None
    return made.training.deepspeed.dtype, made.inputs_to


@_SECTIONS
@pytest.mark.parametrize(
    "keys",
    [{}, {"bf16": True}, {"fp16": True}, {"bf16_full_eval": True}, {"bf16": True, "bf16_full_eval": True}],
    ids=str,
)
def test_the_engine_under_a_trainer(sections: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    config = {**_BARE, **sections}
    file = tmp_path / "args.json"
    file.write_text(json.dumps({**keys, "use_cpu": True, "deepspeed": config}))
    try:
        args = TrainingArguments(
            output_dir=str(tmp_path), report_to=[], use_cpu=True, deepspeed=copy.deepcopy(config), **keys
        )
        args.deepspeed_plugin.set_mixed_precision(args.mixed_precision)  # as AcceleratorState does
        # what trainer_config_finalize raises before a run, without a model that it needs for other keys
        if args.hf_deepspeed_config.mismatches:
            raise ValueError(args.hf_deepspeed_config.mismatches)
    except ValueError:
        with pytest.raises(AnalyzerError, match="DeepSpeed's"):
            plans.make({}, [file])
        return
    inputs = str(args.hf_deepspeed_config.dtype()).removeprefix("torch.")
    assert _planned(plans.make({}, [file])[0]) == (_engine_dtype(args.deepspeed_plugin.deepspeed_config), inputs)


@_SECTIONS
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_the_engine_under_accelerate_alone(sections: dict[str, Any], precision: str, tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    from accelerate.utils import DeepSpeedPlugin

    config = {**_BARE, **sections}
    (tmp_path / "ds.json").write_text(json.dumps(config))
    file = tmp_path / "launch.yaml"
    file.write_text(
        f"distributed_type: DEEPSPEED\nmixed_precision: '{precision}'\n"
        "deepspeed_config: {deepspeed_config_file: ds.json}\n"
    )
    plugin = DeepSpeedPlugin(hf_ds_config=copy.deepcopy(config))
    try:
        plugin.set_mixed_precision(precision)
    except ValueError:
        with pytest.raises(AnalyzerError, match="accelerate refuses"):
            plans.make({}, [file])
        return
    assert _planned(plans.make({}, [file])[0]) == (_engine_dtype(plugin.deepspeed_config), None)


def test_the_stage_that_accelerate_takes_for_auto(tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    from accelerate.utils import DeepSpeedPlugin

    config = {**_BARE, "zero_optimization": {"stage": "auto"}}
    file = tmp_path / "ds.json"
    file.write_text(json.dumps(config))
    made = plans.make({}, [file])[0].training
    assert made is not None and made.deepspeed is not None
    assert made.deepspeed.stage == DeepSpeedPlugin(hf_ds_config=config).zero_stage


def test_auto_cast_leaves_inputs_given_by_keyword(tmp_path: Path) -> None:
    seen = []

    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.dtype)
            return self.inner(x.to(self.inner.weight.dtype)).sum()

    sections = {"bf16": {"enabled": False}, "fp16": {"enabled": False, "auto_cast": True}}
    with alone(tmp_path):
        wrapped, _ = engine(Probe(), **sections)
        wrapped(torch.ones(1, 2))
        wrapped(x=torch.ones(1, 2))
    assert seen == [torch.float16, torch.float32]
    file = tmp_path / "ds.json"
    file.write_text(json.dumps({**_BARE, **sections}))
    (made,) = plans.make({}, [file])
    assert made.inputs_to is None
    assert any("positional inputs alone" in note for note in made.notes)


@pytest.mark.parametrize("policy", ["", "TRANSFORMER_BASED_WRAP", "size_based_wrap", "NO_WRAP"])
def test_the_wrapping_that_accelerate_takes(policy: str, tmp_path: Path) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin

    if policy:  # as accelerate launch does
        os.environ["FSDP_AUTO_WRAP_POLICY"] = policy
    really = FullyShardedDataParallelPlugin().auto_wrap_policy
    file = tmp_path / "launch.yaml"
    said = f"fsdp_auto_wrap_policy: {policy}" if policy else ""
    file.write_text(f"distributed_type: FSDP\nmixed_precision: bf16\nfsdp_config: {{{said}}}\n")
    (made,) = plans.make({}, [file])
    assert made.training is not None and made.training.fsdp is not None
    named = {"transformer_auto_wrap_policy": "transformer", "size_based_auto_wrap_policy": "size"}
    assert made.training.fsdp.policy == named.get(getattr(really, "__name__", ""), "none")


def test_kwargs_of_checkpointing_as_a_string(tmp_path: Path) -> None:
    given = {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": '{"use_reentrant": false}'}
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **given)  # type: ignore[arg-type]
    file = tmp_path / "args.json"
    file.write_text(json.dumps(given))
    made = plans.make({}, [file])[0].training
    assert made is not None and args.gradient_checkpointing_kwargs == {"use_reentrant": made.reentrant}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("distributed_type: FSDP\nfsdp_config: file.yaml\n", "fsdp_config: 'file.yaml' holds no keys"),
        ("distributed_type: FSDP\nfsdp_config: [1]\n", "holds no keys"),
        ("distributed_type: FSDP\nfsdp_config: {fsdp_version: two}\n", "version: 'two' is no whole number"),
        ("distributed_type: FSDP\nfsdp_config: {fsdp_min_num_params: many}\n", "min_num_params: 'many'"),
        ("distributed_type: DEEPSPEED\ndeepspeed_config: x.json\n", "deepspeed_config: 'x.json' holds no keys"),
        ("distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: three}\n", "zero_stage: 'three'"),
        ('{"zero_optimization": {"stage": [2]}}', "stage: '[2]' is no whole number"),
        ("bf16: true\nfsdp: true\nfsdp_config: [1]\n", "holds no keys"),
        ("bf16: true\ndeepspeed: [1]\n", "names no file"),
        ("bf16: true\ndeepspeed: '{broken'\n", "deepspeed:1: broken JSON"),
        ("bf16: true\ngradient_checkpointing_kwargs: often\n", "holds no keys"),
        ("model: {_component_: a}\noptimizer: sgd\n", "optimizer: 'sgd' holds no keys"),
    ],
)
def test_parts_of_the_wrong_shape_are_named(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(AnalyzerError) as caught:
        plans.make({}, [file])
    assert said in str(caught.value) and "recipe.yaml" in str(caught.value) and "\n" not in str(caught.value)
