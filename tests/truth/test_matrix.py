"""A slice of the matrix, and what the comparison itself would notice."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from analyzer.ir.plan import Plan
from analyzer.running.forward import from_callable
from tests.capture.training import NARROW, REFUSED_BACKWARD
from tests.pages import placed
from tests.truth.compare import Result, compare, compare_ops
from tests.truth.explained import EXPLAINED
from tests.truth.matrix import describe, reason, section, sign
from tests.truth.noise import said
from tests.truth.running import Form, How, Op, Raised, Run, real_run, traced_run
from tests.truth.setups import SETUPS
from tests.truth.zoo import ZOO

MODELS = (
    "Gemma2ForCausalLM, eager", "DebertaV2ForMaskedLM", "T5ForConditionalGeneration", "DeepseekV3ForCausalLM",
    "Mamba2ForCausalLM", "SwinForImageClassification", "DetrForObjectDetection", "Wav2Vec2ForCTC",
    "Idefics3ForConditionalGeneration", "PatchTSTForPrediction",
)  # fmt: skip


@pytest.mark.parametrize("setup", ["f32 in", "layer f32", "lora bare", "load f16"])
@pytest.mark.parametrize("model", MODELS)
def test_the_trace_is_the_truth(model: str, setup: str) -> None:
    result = compare(ZOO[model], SETUPS[setup])
    assert result.agrees and not result.unseen, describe(result)
    assert result.ops > 5 or result.real
    if (
        setup == "layer f32" and model != "Mamba2ForCausalLM"
    ):  # its middle layer is a convolution's weight, which it casts
        assert result.real


@pytest.mark.parametrize("setup", ["train bf16", "train ckpt", "train autocast"])
@pytest.mark.parametrize("model", MODELS[1:6])
def test_a_training_step_is_the_truth(model: str, setup: str) -> None:
    result = compare(ZOO[model], SETUPS[setup])
    assert result.agrees and not result.unseen, describe(result)


@pytest.mark.parametrize("name", REFUSED_BACKWARD)
def test_what_only_backward_refuses_is_the_truth(name: str) -> None:
    module = REFUSED_BACKWARD[name]()
    traced, _ = traced_run(from_callable(copy.deepcopy(module), (), NARROW), Plan(device="cpu", train=True))
    real = real_run(module, NARROW, How(train=True))
    assert real.raised and real.raised == traced.raised
    assert compare_ops(real, traced) == ("sequence", [], ())


@pytest.mark.parametrize("setup", ["load bf16", "load f16"])
@pytest.mark.parametrize(
    "model", ["T5ForConditionalGeneration", "MambaForCausalLM", "InstructBlipForConditionalGeneration"]
)
def test_what_a_class_means_to_run_wide_is_no_warning(model: str, setup: str) -> None:
    assert list(said(ZOO[model], SETUPS[setup])) == []


@pytest.mark.parametrize("setup", ["bf16", "train bf16", "train autocast"])
@pytest.mark.parametrize("model", ["ModernBertForMaskedLM", "Gemma3ForCausalLM", "SwinForImageClassification"])
def test_a_uniform_model_gives_no_finding(model: str, setup: str) -> None:
    assert list(said(ZOO[model], SETUPS[setup])) == []


def test_the_zoo_is_wide_enough() -> None:
    assert len({entry.cls for entry in ZOO.values()}) >= 60
    assert len({entry.family for entry in ZOO.values()}) >= 10
    assert len(SETUPS) >= 8


ADD, WIDE = Op("aten.add.Tensor", ("bfloat16",), "m.py:3"), Op("aten.add.Tensor", ("float32",), "m.py:3")
VIEW = Op("aten.view.default", ("bfloat16",), "m.py:2")


def test_a_wrong_dtype_is_seen_one_by_one_and_by_line() -> None:
    assert compare_ops(Run((VIEW, ADD)), Run((VIEW, WIDE)))[:2] == (
        "sequence", ["aten.add.Tensor at m.py:3: traced float32, really bfloat16"],
    )  # fmt: skip
    way, wrong, unseen = compare_ops(Run((VIEW, ADD)), Run((WIDE,)))
    assert (way, len(wrong), unseen) == ("per line", 1, ("aten.view.default at m.py:2",))


def test_another_shape_stride_or_storage_is_seen_one_by_one_and_by_line() -> None:
    right = Form((2, 3), (3, 1), "x")
    for other in (Form((3, 2), (3, 1), "x"), Form((2, 3), (1, 2), "x"), Form((2, 3), (3, 1), "0.0")):
        ours, theirs = replace(ADD, forms=(other,)), replace(ADD, forms=(right,))
        assert len(compare_ops(Run((theirs,)), Run((ours,)))[1]) == 1
        assert len(compare_ops(Run((VIEW, theirs)), Run((ours,)))[1]) == 1


def test_by_line_a_storage_is_called_by_what_made_it() -> None:
    made, read = replace(VIEW, forms=(Form((2,), (1,), "0.0"),)), replace(ADD, forms=(Form((2,), (1,), "0.0"),))
    later = [replace(op, forms=(Form((2,), (1,), "1.0"),)) for op in (made, read)]
    first = Op("aten.ones.default", ("bfloat16",), "m.py:1", (Form((2,), (1,), "0.0"),))
    assert compare_ops(Run((made, read)), Run((first, *later))) == (
        "per line", [], ("aten.ones.default at m.py:1",),
    )  # fmt: skip


def test_only_what_comes_before_the_first_error_is_compared() -> None:
    stopped = Run((VIEW,), Raised("no", "m.py:3", 1))
    assert compare_ops(stopped, Run((VIEW, WIDE), Raised("no", "m.py:3", 1))) == ("sequence", [], ())


def test_other_operations_are_explained_only_if_the_list_names_each(monkeypatch: pytest.MonkeyPatch) -> None:
    detach = "aten.detach.default at transformers/models/llava/modeling_llava.py:189"
    monkeypatch.setitem(EXPLAINED, ("LlavaForConditionalGeneration", (detach,)), "why")
    seen = Result("LlavaForConditionalGeneration", "kind", "bf16", way="per line", unseen=(detach,))
    assert reason(seen)
    assert not reason(
        replace(seen, unseen=(detach, "aten.mm.default at transformers/models/llava/modeling_llava.py:9"))
    )
    assert not reason(replace(seen, model="BertForMaskedLM"))


@pytest.mark.parametrize(
    ("real", "traced", "expected"),
    [
        (None, None, "="),
        (Raised("a", "m.py:1", 1), Raised("a", "m.py:1", 1), "!"),
        (Raised("a", "m.py:1", 1), None, "X"),
        (None, Raised("a", "m.py:1", 1), "X"),
        (Raised("a", "m.py:1", 1), Raised("b", "m.py:1", 1), "X"),
        (Raised("a", "m.py:1", 1), Raised("a", "m.py:2", 1), "X"),
    ],
)
def test_a_sign_tells_every_kind_of_disagreement(real: Raised | None, traced: Raised | None, expected: str) -> None:
    result = Result("Model", "kind", "bf16", real, traced)
    assert sign(result) == expected
    text = section([result])
    assert f"| Model | kind | {expected} |" in text
    assert ("NOT EXPLAINED" in text) == (expected == "X")
    assert torch.__version__ in text


def test_a_part_takes_the_place_of_its_old_one_and_newer_torch_comes_first() -> None:
    page = placed(placed("# Head\n", "## torch 2.6.0: models\n\nold\n"), "## torch 2.13.0: models\n\nnew\n")
    page = placed(page, "## torch 2.6.0: models\n\nnewer\n")
    assert page == "# Head\n\n## torch 2.13.0: models\n\nnew\n\n## torch 2.6.0: models\n\nnewer\n"
