"""What the real Trainer does for a recipe, one step on the CPU, against the plans made of the same recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from analyzer import plans
from analyzer.actions.trace import run_stages
from analyzer.errors import AnalyzerError
from analyzer.inputs import cast_floats
from analyzer.ir.plan import EVALUATE, TRAIN, Plan, Training
from analyzer.loaders.plan_application import apply_plan
from analyzer.loaders.request import ModelRequest

_ROWS = [{"input_ids": list(range(3, 11)), "attention_mask": [1] * 8, "labels": list(range(3, 11))}]
Seen = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("llama")
    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=16, dtype="float32", architectures=["LlamaForCausalLM"],
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(root)
    return root


@contextmanager
def _watched(model: torch.nn.Module, seen: list[Seen]) -> Iterator[None]:
    """Look inside forward: at the parameters, at autocast, at what the head gives before accelerate widens it."""

    def before(_: Any, args: Any) -> None:
        on = torch.is_autocast_enabled("cpu")
        seen.append({
            "parameters": {str(p.dtype) for p in model.parameters()},
            "autocast": str(torch.get_autocast_dtype("cpu")) if on else None,
            "checkpointing": model.model.gradient_checkpointing and model.training,  # type: ignore[union-attr, operator]
        })  # fmt: skip

    def after(_: Any, args: Any, output: torch.Tensor) -> None:
        seen[-1]["head"] = str(output.dtype)

    handles = [model.model.register_forward_pre_hook(before), model.lm_head.register_forward_hook(after)]  # type: ignore[union-attr, operator]
    yield
    for handle in handles:
        handle.remove()


def _really(folder: Path, recipe: dict[str, Any], tmp_path: Path) -> dict[str, Seen]:
    args = TrainingArguments(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=1, report_to=[], save_strategy="no",
        disable_tqdm=True, **recipe,
    )  # fmt: skip
    model = LlamaForCausalLM.from_pretrained(folder)
    seen: list[Seen] = []
    with _watched(model, seen):
        Trainer(model=model, args=args, train_dataset=_ROWS).train()  # type: ignore[arg-type]
    found = {TRAIN: seen[0]}
    model = LlamaForCausalLM.from_pretrained(folder)
    seen.clear()
    with _watched(model, seen):
        Trainer(model=model, args=args, eval_dataset=_ROWS).evaluate()  # type: ignore[arg-type]
    return {**found, EVALUATE: seen[0]}


def _planned(folder: Path, made: tuple[Plan, ...]) -> dict[str, Seen]:
    found = {}
    report = run_stages(ModelRequest(folder), made)
    for one, plan in zip((report, *report.others), made, strict=True):
        graph = one.flow.graph
        heads = [n for n in graph.ops() if n.module == "lm_head" and n.call == "linear" and not n.phase]
        found[plan.stage] = {
            "parameters": {f"torch.{h.spec.dtype}" for h in one.flow.inventory.tensors if h.kind == "parameter"},
            "autocast": f"torch.{plan.autocast.partition(':')[2]}" if plan.autocast else None,
            "checkpointing": any(n.phase == "recompute" for n in graph),
            "head": f"torch.{heads[-1].outputs[0].dtype}",
        }
    return found


@pytest.mark.parametrize(
    "recipe",
    [
        {"bf16": True},
        {"bf16": True, "bf16_full_eval": True, "gradient_checkpointing": True},
        {
            "bf16_full_eval": True,
            "gradient_checkpointing": True,
            "gradient_checkpointing_kwargs": {"use_reentrant": True},
        },
        {"fp16": True, "fp16_full_eval": True},
    ],
    ids=["bf16", "both", "full-eval", "fp16"],
)  # fmt: skip
def test_each_stage_is_as_the_trainer_runs_it(folder: Path, recipe: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "args.json"
    file.write_text(json.dumps({**recipe, "use_cpu": True}))
    planned = _planned(folder, plans.make({}, [file]))
    assert planned == _really(folder, {**recipe, "use_cpu": True}, tmp_path)


def test_both_precisions_are_refused_as_the_trainer_refuses_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="At most one of fp16 and bf16"):
        TrainingArguments(output_dir=str(tmp_path), fp16=True, bf16=True, use_cpu=True)
    file = tmp_path / "args.yaml"
    file.write_text("fp16: true\nbf16: yes\n")
    with pytest.raises(AnalyzerError, match="the Trainer takes one"):
        plans.make({}, [file])


def test_a_saved_training_args_says_what_the_same_json_says(tmp_path: Path) -> None:
    args = TrainingArguments(output_dir=str(tmp_path), bf16=True, gradient_checkpointing=True, use_cpu=True)
    saved, file = tmp_path / "training_args.bin", tmp_path / "args.json"
    torch.save(args, saved)
    file.write_text(args.to_json_string())
    from_saved, from_json = plans.make({}, [saved]), plans.make({}, [file])
    assert [str(p.training) for p in from_saved] == [str(p.training) for p in from_json]
    assert [p.autocast for p in from_saved] == ["cpu:bfloat16"] * 2
    assert from_saved[0].training is not None and from_saved[0].training.checkpointing


def test_deepspeed_is_refused_and_resolved_as_the_trainer_does(tmp_path: Path) -> None:
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    args = TrainingArguments(output_dir=str(tmp_path), bf16=True, use_cpu=True)
    for engine in ({"bf16": {"enabled": "auto"}}, {"bf16": {"enabled": False}}, {"fp16": {"enabled": True}}, {}):
        real = HfTrainerDeepSpeedConfig({**engine, "zero_optimization": {"stage": 2}})
        real.trainer_config_process(args)
        refused = [line for line in real.mismatches if "bf16" in line or "fp16" in line]
        file = tmp_path / "args.json"
        file.write_text(json.dumps({"bf16": True, "deepspeed": engine or {"zero_optimization": {"stage": 2}}}))
        if refused:
            with pytest.raises(AnalyzerError, match="which the Trainer refuses"):
                plans.make({}, [file])
        else:
            assert f"torch.{plans.make({}, [file])[0].inputs_to}" == str(real.dtype())


def test_checkpointing_without_support_stops_here_as_in_the_trainer(folder: Path) -> None:
    class Plain(LlamaForCausalLM):
        supports_gradient_checkpointing = False

    model = Plain(LlamaConfig.from_pretrained(folder))
    plan = Plan(train=True, training=Training(checkpointing=True))
    with pytest.raises(ValueError, match="does not support activation checkpointing") as real:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=None)
    with pytest.raises(AnalyzerError) as ours:
        apply_plan(model, plan, {})
    assert ours.value.message == str(real.value)


def test_inputs_are_cast_as_under_deepspeed() -> None:
    given = {"pixel_values": [torch.zeros(1)], "input_ids": torch.zeros(1, dtype=torch.long)}
    made = cast_floats(given, torch.bfloat16)
    assert (made["pixel_values"][0].dtype, made["input_ids"].dtype) == (torch.bfloat16, torch.long)
