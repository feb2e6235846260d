"""The sample and its clean variant, held against the real checkpoint's facts and against a real run."""

from __future__ import annotations

import collections
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, dynamic_module_utils

from tests.versions import asked, copies
from tests.samples.shrink import SAMPLES, shrink

FAULTY, FIXED = SAMPLES / "minicpm_v_2", SAMPLES / "minicpm_v_2_fixed"
MESSAGE = "mat1 and mat2 must have the same dtype, but got Float and BFloat16"

LAYER = [
    *(f"self_attn.{part}_proj" for part in "qkvo"),
    *(f"mlp.{part}_proj" for part in ("gate", "up", "down")),
    "input_layernorm",
    "post_attention_layernorm",
]
BLOCK = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
NAMES = {
    "llm.lm_head.weight",
    "llm.model.embed_tokens.weight",
    "llm.model.norm.weight",
    *(f"llm.model.layers.{layer}.{part}.weight" for layer in range(40) for part in LAYER),
    "vpm.pos_embed",
    *(f"vpm.{part}.{kind}" for part in ("norm", "patch_embed.proj") for kind in ("weight", "bias")),
    *(f"vpm.blocks.{n}.{part}.{kind}" for n in range(26) for part in BLOCK for kind in ("weight", "bias")),
    *(f"resampler.{part}" for part in ("pos_embed", "proj", "query", "kv_proj.weight")),
    *(f"resampler.{part}.{kind}" for part in ("ln_q", "ln_kv", "ln_post") for kind in ("weight", "bias")),
    *(f"resampler.attn.{part}" for part in ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")),
}
"""The 694 tensors that the weight index of openbmb/MiniCPM-V-2 lists."""


@pytest.fixture(autouse=True)
def _own_code_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))


def _load(folder: Path, dtype: Any) -> torch.nn.Module:
    return AutoModel.from_pretrained(folder, trust_remote_code=True, **asked(dtype))


def _inputs(folder: Path, config: Any) -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("_sample_inputs", folder / "analyze_inputs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.inputs(config)


def _dtypes(model: torch.nn.Module) -> collections.Counter[torch.dtype]:
    return collections.Counter(parameter.dtype for parameter in model.parameters())


@pytest.mark.parametrize("sample", [FAULTY, FIXED])
def test_full_size_has_the_tensors_of_the_real_checkpoint(sample: Path) -> None:
    config = AutoConfig.from_pretrained(sample, trust_remote_code=True)
    with torch.device("meta"):
        model = AutoModel.from_config(config, trust_remote_code=True)
    assert set(model.state_dict()) == NAMES
    assert len(NAMES) == 694
    assert sum(tensor.numel() for tensor in model.state_dict().values()) == 3_434_965_792


@copies
@pytest.mark.parametrize("sample", [FAULTY, FIXED])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_one_parameter_stays_float32(sample: Path, dtype: torch.dtype, tmp_path: Path) -> None:
    model = _load(shrink(sample, tmp_path / sample.name, "bfloat16"), dtype)
    odd = [name for name, parameter in model.named_parameters() if parameter.dtype != dtype]
    assert odd == ["resampler.pos_embed"]
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32}


@copies
def test_the_fault_raises_from_the_attention_of_the_resampler(tmp_path: Path) -> None:
    folder = shrink(FAULTY, tmp_path / "faulty", "bfloat16")
    model = _load(folder, torch.bfloat16)
    with pytest.raises(RuntimeError, match=MESSAGE) as raised:
        model(**_inputs(folder, model.config))
    ours = [frame for frame in traceback.extract_tb(raised.value.__traceback__) if "modules" in frame.filename]
    last = [frame for frame in ours if Path(frame.filename).name == "resampler.py"][-1]
    assert last.line == "out = self.attn(query, key, x)[0]"


def test_the_fixed_variant_runs(tmp_path: Path) -> None:
    folder = shrink(FIXED, tmp_path / "fixed", "bfloat16")
    model = _load(folder, torch.bfloat16)
    logits = model(**_inputs(folder, model.config)).logits
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    logits.sum().backward()


def test_the_rotary_tables_survive_loading(tmp_path: Path) -> None:
    model = _load(shrink(FIXED, tmp_path / "fixed", "bfloat16"), torch.bfloat16)
    rotary = model.llm.model.layers[1].self_attn.rotary_emb
    assert torch.equal(rotary.cos_cached, rotary.tables()[0])


@pytest.mark.parametrize("sample", [FAULTY, FIXED])
def test_float32_runs_and_a_cast_of_the_whole_model_hides_the_fault(sample: Path, tmp_path: Path) -> None:
    folder = shrink(sample, tmp_path / sample.name, "bfloat16")
    model = _load(folder, torch.float32)
    assert set(_dtypes(model)) == {torch.float32}
    inputs = _inputs(folder, model.config)
    assert model(**inputs).logits.isfinite().all()
    assert model.to(torch.bfloat16)(**inputs).logits.isfinite().all()


def test_images_take_the_place_of_their_tokens(tmp_path: Path) -> None:
    folder = shrink(FIXED, tmp_path / "fixed", "bfloat16")
    model = _load(folder, torch.bfloat16)
    data = _inputs(folder, model.config)["data"]
    embedding = model.get_vllm_embedding(data)
    plain = model.llm.model.embed_tokens(data["input_ids"]) * model.config.scale_emb
    changed = (embedding != plain).any(dim=-1)
    expected = torch.zeros_like(changed)
    for start, end in data["image_bound"][0].tolist():
        expected[0, start:end] = True
    assert torch.equal(changed, expected)
