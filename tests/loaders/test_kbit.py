"""Adapters on bitsandbytes bases (QLoRA and its kin) against the real peft and the real bitsandbytes on the CPU."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

from analyzer.capture import Loaded
from analyzer.capture.tensor import dtype_name
from analyzer.ir.graph import Node
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.loaders.quantised.layer import StandIn
from analyzer.oracle import words
from analyzer.running.forward import capture
from tests.capture.real import really_trained
from tests.loaders.quantised import BNB4, BNB8, TEXT
from tests.truth.running import How, real_run

peft = pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")

BASES: dict[str, dict[str, Any]] = {
    "4 bit": {**BNB4, "bnb_4bit_compute_dtype": "bfloat16"},
    "4 bit, compute in float32": BNB4,
    "8 bit": BNB8,
}
LIBRARY = ("bitsandbytes/", "peft/utils/integrations.py")
"""Where packed weights are unpacked and multiplied by the real library."""
CAUSAL: dict[str, Any] = {"task_type": "CAUSAL_LM"}
ADAPTERS: dict[str, Any] = {
    "lora": lambda: peft.LoraConfig(r=4, **CAUSAL),
    # without a bias: bitsandbytes casts that for good in its first forward, and DoRA takes it away again
    "dora": lambda: peft.LoraConfig(r=4, use_dora=True, target_modules=["o_proj", "up_proj"], **CAUSAL),
    "ia3": lambda: peft.IA3Config(**CAUSAL),
    "lora and a head": lambda: peft.LoraConfig(r=4, modules_to_save=["lm_head"], target_modules="all-linear", **CAUSAL),
}


@pytest.fixture(scope="module", params=BASES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a quantised checkpoint, as the real save_pretrained writes it."""
    root = tmp_path_factory.mktemp("kbit")
    config = hf.Qwen2Config(**{**TEXT, "num_hidden_layers": 1})
    torch.manual_seed(0)
    hf.Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(root / "plain")
    settings = {key: value for key, value in BASES[request.param].items() if key != "quant_method"}
    wanted = hf.BitsAndBytesConfig(**settings)
    hf.Qwen2ForCausalLM.from_pretrained(
        root / "plain", quantization_config=wanted, dtype=torch.bfloat16
    ).save_pretrained(root / "q")
    return root / "q"


def _adapter(name: str, folder: Path) -> Path:
    """The adapter's config alone: `get_peft_model` makes the rest."""
    ADAPTERS[name]().save_pretrained(folder)
    return folder


def _real(base: Path, adapter: Path, plan: Plan) -> Any:
    config = peft.PeftConfig.from_pretrained(adapter)
    config.inference_mode = not plan.train
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peft.get_peft_model(hf.Qwen2ForCausalLM.from_pretrained(base), config)


@pytest.mark.parametrize("autocast", [None, "cpu:bfloat16"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_layers_of_peft_run_as_the_real_ones(name: str, autocast: str | None, base: Path, tmp_path: Path) -> None:
    plan = Plan(device="cpu", adapter=str(_adapter(name, tmp_path)), autocast=autocast, scope="run")
    loaded, real = load(base, plan), _real(base, tmp_path, plan).eval()
    held = {path: type(part) for path, part in real.named_modules()}
    assert {path: type(part) for path, part in loaded.module.named_modules() if "peft" in type(part).__module__} == {
        path: kind for path, kind in held.items() if "peft" in kind.__module__
    }
    theirs = real_run(real, loaded.inputs, How(autocast=(autocast or "").partition(":")[2]))
    graph = capture(loaded, plan).graph
    refused = [(node.refused, str(node.place)) for node in graph.ops() if node.refused]
    assert refused[:1] == ([(theirs.raised.words, theirs.raised.place)] if theirs.raised else [])
    ours = [(n.op, tuple(s.dtype for s in n.outputs), str(n.place)) for n in graph.ops() if not _packed(loaded, n)]
    wanted = [(op.op, op.dtypes, op.place) for op in theirs.ops if not op.place.startswith(LIBRARY)]
    assert ours[: len(wanted)] == wanted and (refused or len(ours) == len(wanted))


def _packed(loaded: Loaded, node: Node) -> bool:
    """Whether it runs inside a packed layer, where the library has operations of its own."""
    return isinstance(loaded.module.get_submodule(node.module), StandIn) or node.op.startswith("quantised")


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_train_or_fail_as_the_real_ones(name: str, base: Path, tmp_path: Path) -> None:
    plan = Plan(device="cpu", train=True, adapter=str(_adapter(name, tmp_path)))
    loaded, real = load(base, plan), _real(base, tmp_path, plan)
    assert {n: (dtype_name(p.dtype), p.requires_grad) for n, p in loaded.module.named_parameters()} == {
        n: (dtype_name(p.dtype), p.requires_grad) for n, p in real.named_parameters()
    }
    _, error = really_trained(real, loaded.inputs)
    refused = [node.refused for node in capture(loaded, plan).graph.ops() if node.refused]
    assert (error and words(error)) == next(iter(refused), None)
