"""Every stored dtype equals what the real from_pretrained gives."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t

from analyzer.errors import AnalyzerError
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from tests.versions import asked as asked_for

TEXT = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 16,
    "patch_size": 8,
}  # fmt: skip
MODELS: dict[str, Any] = {
    "LlamaForCausalLM": lambda: t.LlamaConfig(**TEXT),
    "T5ForConditionalGeneration": lambda: t.T5Config(
        vocab_size=64, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4, decoder_start_token_id=0
    ),
    "WhisperForConditionalGeneration": lambda: t.WhisperConfig(
        vocab_size=64,
        num_mel_bins=8,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=30,
        max_target_positions=20,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
        decoder_start_token_id=3,
    ),
    "CLIPModel": lambda: t.CLIPConfig(
        text_config={**TEXT, "max_position_embeddings": 20, "eos_token_id": 2}, vision_config=VISION, projection_dim=8
    ),
    "BertForMaskedLM": lambda: t.BertConfig(**{k: v for k, v in TEXT.items() if k != "num_key_value_heads"}),
    "MixtralForCausalLM": lambda: t.MixtralConfig(**TEXT, num_local_experts=2, num_experts_per_tok=1),
    "LlavaForConditionalGeneration": lambda: t.LlavaConfig(
        text_config=t.LlamaConfig(**TEXT),
        vision_config=t.CLIPVisionConfig(**VISION),
        image_token_index=63,
        image_seq_length=4,
    ),
    "Wav2Vec2ForCTC": lambda: t.Wav2Vec2Config(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    ),
    "InstructBlipForConditionalGeneration": lambda: t.InstructBlipConfig(
        vision_config=VISION,
        qformer_config={**TEXT, "encoder_hidden_size": 16},
        text_config={
            "model_type": "opt",
            "vocab_size": 64,
            "hidden_size": 16,
            "ffn_dim": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "word_embed_proj_dim": 16,
        },
        num_query_tokens=4,
        image_token_index=63,
    ),
}


def dtypes(model: Any) -> dict[str, torch.dtype]:
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: tensor.dtype for name, tensor in tensors}


def save(name: str, folder: Path, dtype: torch.dtype) -> Any:
    cls = getattr(t, name)
    cls(MODELS[name]()).to(dtype).save_pretrained(folder)
    return cls


@pytest.mark.parametrize("asked", [None, "bfloat16", "float16", "float32"])
@pytest.mark.parametrize("saved", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", MODELS)
def test_dtypes_are_those_of_from_pretrained(name: str, saved: torch.dtype, asked: str | None, tmp_path: Path) -> None:
    cls = save(name, tmp_path, saved)
    real = cls.from_pretrained(tmp_path, **asked_for(asked))
    loaded = load(tmp_path, Plan(dtype=asked))
    assert loaded.name == name
    assert dtypes(loaded.module) == dtypes(real)
    assert all(p.is_meta for p in loaded.module.parameters())
    assert not loaded.module.training
    assert loaded.reasons.keys() == dtypes(real).keys()


@pytest.mark.parametrize("name", MODELS)
def test_the_inputs_run_on_the_real_model(name: str, tmp_path: Path) -> None:
    cls = save(name, tmp_path, torch.float32)
    loaded = learned(load(tmp_path, Plan()), Plan())[0]
    assert all(isinstance(value, torch.Tensor) and not value.is_meta for value in loaded.inputs.values())
    with torch.no_grad():
        cls.from_pretrained(tmp_path, **asked_for(None))(**loaded.inputs)


def test_float16_keeps_t5_wo_in_float32_and_says_so(tmp_path: Path) -> None:
    save("T5ForConditionalGeneration", tmp_path, torch.float16)
    loaded = load(tmp_path, Plan())
    name = "encoder.block.0.layer.1.DenseReluDense.wo.weight"
    assert dtypes(loaded.module)[name] == torch.float32
    reason = loaded.reasons[name]
    assert reason.text == "kept in float32 by _keep_in_fp32_modules; stored as float16 in model.safetensors"
    assert reason.kind == "kept_in_fp32"
    assert loaded.places[name].file.endswith("modeling_t5.py") and loaded.places[name].line > 0


def test_a_checkpoint_names_the_dtype_when_the_config_does_not(tmp_path: Path) -> None:
    save("LlamaForCausalLM", tmp_path, torch.bfloat16)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"dtype": "bfloat16"', '"unused": 0'))
    real = t.LlamaForCausalLM.from_pretrained(tmp_path, **asked_for(None))
    assert real.dtype == torch.bfloat16
    assert dtypes(load(tmp_path, Plan()).module) == dtypes(real)


def test_a_405b_model_builds_fast(tmp_path: Path) -> None:
    config = t.LlamaConfig(
        vocab_size=128256, hidden_size=16384, intermediate_size=53248, num_hidden_layers=126, num_attention_heads=128,
        num_key_value_heads=8, architectures=["LlamaForCausalLM"], dtype="bfloat16",
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    start = time.monotonic()
    loaded = load(tmp_path, Plan())
    assert time.monotonic() - start < 20
    assert sum(p.numel() for p in loaded.module.parameters()) > 405e9
    assert {p.dtype for p in loaded.module.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("text", ["{,", "version https://git-lfs.github.com/spec/v1", "[1]", "[" * 100_000])
def test_settings_of_generation_that_are_broken_stop_what_they_stop_for_real(text: str, tmp_path: Path) -> None:
    t.LlamaForCausalLM(t.LlamaConfig(**TEXT)).save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(text)
    try:
        t.LlamaForCausalLM.from_pretrained(tmp_path)
    except (TypeError, RecursionError):
        with pytest.raises(AnalyzerError, match="generation_config"):
            load(tmp_path, Plan())
    else:
        said = load(tmp_path, Plan()).assumptions
        assert any(one.what.startswith("generation_config.json is ") for one in said)
