"""Adapters against the real peft: what is stored, what is trained, every operation, and what is refused."""

from __future__ import annotations

import copy
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from analyzer.capture.tensor import dtype_name
from analyzer.errors import AnalyzerError
from analyzer.ir.graph import UPDATED
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.running.forward import capture
from tests.capture.real import really_trained
from tests.truth.compare import compare_ops
from tests.truth.running import How, real_run, traced_run
from tests.versions import asked

peft = pytest.importorskip("peft")

SMALL: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 40,
    "max_position_embeddings": 32,
}  # fmt: skip
VISION: dict[str, Any] = {
    "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", "num_labels": 2,
    "image_size": 16,
}  # fmt: skip
BASES: dict[str, tuple[Any, Any]] = {
    "llama": (hf.LlamaForCausalLM, lambda: hf.LlamaConfig(num_key_value_heads=1, **SMALL)),
    "bert": (hf.BertForSequenceClassification, lambda: hf.BertConfig(num_labels=2, **SMALL)),
    "resnet": (hf.ResNetForImageClassification, lambda: hf.ResNetConfig(**VISION)),
}
CAUSAL: dict[str, Any] = {"task_type": "CAUSAL_LM"}
LORA: dict[str, Any] = {"r": 4, "lora_alpha": 8}
TARGETS: dict[str, Any] = {"target_modules": ["q_proj", "o_proj"]}
CONVOLUTIONS: dict[str, Any] = {"target_modules": ["convolution"]}
ADAPTERS: dict[str, tuple[str, Any]] = {
    "lora": ("llama", lambda: peft.LoraConfig(**LORA, **CAUSAL)),
    "lora and a head": ("llama", lambda: peft.LoraConfig(**LORA, **CAUSAL, modules_to_save=["lm_head"])),
    "rslora": ("llama", lambda: peft.LoraConfig(**LORA, **CAUSAL, use_rslora=True, target_modules="all-linear")),
    "dora": ("llama", lambda: peft.LoraConfig(**LORA, **CAUSAL, use_dora=True)),
    "ia3": ("llama", lambda: peft.IA3Config()),
    "bert": ("bert", lambda: peft.LoraConfig(**LORA, task_type="SEQ_CLS", bias="lora_only")),
    "conv": ("resnet", lambda: peft.LoraConfig(**LORA, **CONVOLUTIONS, modules_to_save=["classifier.1"])),
    "conv dora": ("resnet", lambda: peft.LoraConfig(**LORA, **CONVOLUTIONS, use_dora=True)),
    "adalora": ("llama", lambda: peft.AdaLoraConfig(init_r=6, target_r=4, total_step=50, **CAUSAL)),
    "vera": ("llama", lambda: peft.VeraConfig(r=4, target_modules=["q_proj", "o_proj"])),
    "tokens": ("llama", lambda: peft.TrainableTokensConfig(token_indices=[3, 5], **CAUSAL)),
    "boft": ("llama", lambda: peft.BOFTConfig(**TARGETS, boft_block_size=4)),
    "fourier": ("llama", lambda: peft.FourierFTConfig(**TARGETS, n_frequency=10)),
    "waveft": ("llama", lambda: peft.WaveFTConfig(**TARGETS, n_frequency=10)),
    "shira": ("llama", lambda: peft.ShiraConfig(**TARGETS, r=2)),
    "randlora": ("llama", lambda: peft.RandLoraConfig(**TARGETS, r=4)),
    "vblora": ("llama", lambda: peft.VBLoRAConfig(**TARGETS, r=2, vector_length=4, num_vectors=4, topk=2)),
    "prefix": ("llama", lambda: peft.PrefixTuningConfig(num_virtual_tokens=3, **CAUSAL)),
    "prompt": ("llama", lambda: peft.PromptTuningConfig(num_virtual_tokens=3, **CAUSAL)),
}  # fmt: skip
PROMPTS = ("prefix", "prompt")
SPARSE = ("shira",)
"""Those whose step needs sparse tensors, which are not traced."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Base and adapter folders as peft writes them, each made once; the adapter is stored in a base's dtype."""
    root, made = tmp_path_factory.mktemp("adapters"), {}

    def make(name: str, dtype: str = "bfloat16") -> tuple[Path, Path]:
        if (name, dtype) not in made:
            base, config = ADAPTERS[name]
            cls, settings = BASES[base]
            here = root / f"{name} {dtype}"
            torch.manual_seed(0)
            model = cls(settings()).to(getattr(torch, dtype))
            model.save_pretrained(here / "base")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                peft.get_peft_model(model, config()).save_pretrained(here / "adapter")
            made[name, dtype] = here / "base", here / "adapter"
        return made[name, dtype]

    return make


def _real(base: Path, adapter: Path, plan: Plan, *, weights: bool = True) -> Any:
    cls = getattr(hf, json.loads((base / "config.json").read_text())["architectures"][0])
    widen = plan.autocast_adapter_dtype
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = cls.from_pretrained(base, **asked(plan.dtype))
        if not weights:
            config = peft.PeftConfig.from_pretrained(adapter)
            config.inference_mode = not plan.train
            return peft.get_peft_model(model, config, autocast_adapter_dtype=widen).eval()
        return peft.PeftModel.from_pretrained(model, adapter, is_trainable=plan.train, autocast_adapter_dtype=widen)


def _stored(model: nn.Module) -> dict[str, tuple[str, bool]]:
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: (dtype_name(t.dtype), t.requires_grad) for name, t in tensors}


CASES = [
    (name, plan)
    for name in ADAPTERS
    for plan in (
        Plan(device="cpu"),
        Plan(device="cpu", autocast="cpu:bfloat16", scope="run"),
        Plan(device="cpu", autocast_adapter_dtype=False),
        Plan(device="cpu", dtype="float32"),
    )
    if plan.dtype is None or name in ("lora and a head", "conv dora", "prefix")
]


@pytest.mark.parametrize(("name", "plan"), CASES, ids=[f"{name}: {plan.line()}" for name, plan in CASES])
def test_runs_as_the_real_one(name: str, plan: Plan, folders: Any) -> None:
    base, adapter = folders(name)
    plan = replace(plan, adapter=str(adapter))
    loaded, real = load(base, plan), _real(base, adapter, plan)
    assert _stored(loaded.module) == _stored(real)
    theirs = real_run(real, loaded.inputs, How(autocast=(plan.autocast or "").partition(":")[2]))
    ours, _ = traced_run(loaded, plan)
    way, wrong, unseen = compare_ops(theirs, ours)
    assert (ours.raised and ours.raised.words) == (theirs.raised and theirs.raised.words)
    assert (ours.raised and ours.raised.place) == (theirs.raised and theirs.raised.place)
    assert theirs.ops and (way, wrong, unseen) == ("sequence", [], ())


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("name", [name for name in ADAPTERS if name not in (*PROMPTS, *SPARSE)])
def test_trains_as_the_real_one(name: str, autocast: bool, folders: Any) -> None:
    base, adapter = folders(name)
    plan = Plan(device="cpu", train=True, adapter=str(adapter), autocast_adapter_dtype=autocast)
    loaded, real = load(base, plan), _real(base, adapter, plan)
    assert _stored(loaded.module) == _stored(real)
    seen, error = really_trained(real, loaded.inputs)
    graph = capture(loaded, plan).graph
    refused = [node.refused for node in graph.ops() if node.refused]
    assert (error is not None) == bool(refused), (error, refused)
    ours = [(n.op, tuple(s.dtype for s in n.outputs)) for n in graph.ops() if n.op != UPDATED and n.outputs]
    if error is None:
        assert seen and ours == seen


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", ["lora and a head", "dora", "ia3", "prefix"])
def test_another_base(name: str, dtype: str, folders: Any) -> None:
    base, adapter = folders(name, dtype)
    for loading in (None, "bfloat16"):
        plan = Plan(device="cpu", dtype=loading, adapter=str(adapter))
        assert _stored(load(base, plan).module) == _stored(_real(base, adapter, plan))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", ["lora and a head", "vera", "tokens", "prefix"])
def test_config_alone_is_a_new_adapter(name: str, train: bool, folders: Any, tmp_path: Path) -> None:
    base, adapter = folders(name)
    (tmp_path / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())
    plan = Plan(device="cpu", train=train, adapter=str(tmp_path))
    loaded = load(base, plan)
    assert _stored(loaded.module) == _stored(_real(base, tmp_path, plan, weights=False))
    assert any("no weights of the adapter" in a.what for a in loaded.assumptions)


def test_what_is_noted(folders: Any) -> None:
    base, adapter = folders("lora and a head")
    loaded = load(base, Plan(device="cpu", adapter=str(adapter)))
    held = {one.name: one for one in loaded.inventory.tensors}
    one = held["base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"]
    assert (one.spec.dtype, one.saved, one.shard, one.trained) == (
        "float32", "float32", "adapter_model.safetensors", False,
    )  # fmt: skip
    assert one.reason.text.startswith("adapter weight, widened to float32 by peft")
    assert str(one.place).startswith("peft/tuners/")
    below = held["base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"]
    assert (below.saved, below.shard) == ("bfloat16", "model.safetensors")
    assert str(below.place).startswith("transformers/models/llama/")
    head = held["base_model.model.lm_head.modules_to_save.default.weight"]
    assert "modules_to_save" in head.reason.text and head.saved == "bfloat16"


def test_patterns_may_leave_the_adapter_out(folders: Any) -> None:
    base, adapter = folders("lora")
    plan = Plan(device="cpu", adapter=str(adapter), set={"model.layers.0.self_attn.q_proj.weight": "float32"})
    found = _stored(load(base, plan).module)
    assert found["base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"][0] == "float32"
    assert found["base_model.model.model.layers.0.self_attn.v_proj.base_layer.weight"][0] == "bfloat16"


def _changed(adapter: Path, folder: Path, **settings: Any) -> Path:
    old = json.loads((adapter / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**old, **settings}))
    return folder


def _refusal(base: Path, adapter: Path, **plan: Any) -> AnalyzerError:
    with pytest.raises(AnalyzerError) as caught:
        load(base, Plan(device="cpu", adapter=str(adapter), **plan))
    assert "\n" not in str(caught.value) and caught.value.hint
    return caught.value


def test_errors(folders: Any, tmp_path: Path) -> None:
    base, adapter = folders("lora")
    assert "no adapter_config.json in" in str(_refusal(base, tmp_path))
    (tmp_path / "adapter_config.json").write_text("{")
    assert "adapter_config.json:1: broken JSON" in str(_refusal(base, tmp_path))
    unknown = _refusal(base, _changed(adapter, tmp_path, peft_type="LORAX"))
    assert "knows no peft_type 'LORAX'" in str(unknown) and "LORA" in (unknown.hint or "")
    assert "not found in the base model" in str(_refusal(base, _changed(adapter, tmp_path, target_modules=["nope"])))
    assert "not found in the base model" in str(_refusal(folders("bert")[0], adapter))


def test_a_base_that_does_not_fit(folders: Any, tmp_path: Path) -> None:
    base, adapter = folders("lora")
    (tmp_path / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    words = str(_refusal(base, _changed(adapter, tmp_path, r=2))).rpartition("RuntimeError: ")[2]
    with pytest.raises(RuntimeError, match="size mismatch") as real:
        _real(base, tmp_path, Plan())
    assert words.removesuffix(" (is it an adapter of this model?)") in str(real.value)


def test_the_model_is_left_as_a_copy_would_be(folders: Any) -> None:
    base, adapter = folders("vera")
    module = load(base, Plan(device="cpu", adapter=str(adapter))).module
    assert all(p.is_meta and type(p) is nn.Parameter for p in module.parameters())
    assert all(type(b) is torch.Tensor for b in module.buffers())
    copy.deepcopy(module)


def test_a_new_adapter_is_not_missing_from_the_checkpoint(folders: Any, tmp_path: Path) -> None:
    base, adapter = folders("lora")
    alone = _changed(adapter, tmp_path)
    inventory = load(base, Plan(device="cpu", adapter=str(alone))).inventory
    unsaved = [one.name for one in inventory.tensors if one.kind == "parameter" and not one.saved]
    assert inventory.has_checkpoint and unsaved and all("lora_" in name for name in unsaved)
    assert all(any(re.search(p, name) for p in inventory.made_anew) for name in unsaved)
