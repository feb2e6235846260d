"""A dozen of the table's rows, one of each family: what loses one is seen before the table is made again."""

from __future__ import annotations

import pytest

from tests.coverage.cases import Case, cases
from tests.coverage.running import TRACED, trace_case

FAMILIES = {
    "encoder": "bert BertForMaskedLM",
    "decoder": "gpt2 GPT2LMHeadModel",
    "encoder-decoder": "t5 T5ForConditionalGeneration",
    "state-space": "mamba MambaForCausalLM",
    "vision": "vit ViTForImageClassification",
    "clips, as long as the config says": "videomae VideoMAEModel",
    "two kinds of input side by side": "clip CLIPModel",
    "image tokens in a text": "llava LlavaForConditionalGeneration",
    "sound": "wav2vec2 Wav2Vec2ForCTC",
    "spectrograms": "whisper WhisperForConditionalGeneration",
    "a codec, with lengths computed in buffers": "encodec EncodecModel",
    "boxes beside words": "udop UdopModel",
    "no text and no image": "perceiver PerceiverModel",
}
KNOWN = {case.name: case for case in cases()}
LOSS = ("bert", "gpt2", "t5", "mamba", "vit", "wav2vec2", "whisper", "llava")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_default_config_is_traced_to_its_end(family: str) -> None:
    name = FAMILIES[family]
    if name not in KNOWN:
        pytest.skip("a type that this transformers does not have")
    case: Case = KNOWN[name]
    row = trace_case(case)
    assert (row.outcome, row.why, row.errors, row.warnings) == (TRACED, "", (), ())
    assert row.ops > 100
    assert row.loss == ("taken" if case.model_type in LOSS else "")
