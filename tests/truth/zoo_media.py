"""Small models of several media: audio, images with text, and time series."""

from __future__ import annotations

from typing import Any, Final

import torch

from tests.truth.entry import Entry
from tests.truth.zoo_text import BART, GQA, ONE, SHORT, TEXT
from tests.truth.zoo_vision import IMAGE, VIT, noise

EYE: Final = {k: v for k, v in VIT.items() if k != "num_labels"}
EAR: Final[dict[str, Any]] = {
    "vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0,
}  # fmt: skip
OPT: Final = {
    "model_type": "opt", "vocab_size": 64, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 1,
    "num_attention_heads": 4, "word_embed_proj_dim": 32, "pad_token_id": 1,
}  # fmt: skip
QWEN_EYE: Final = {"depth": 2, "num_heads": 4, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
ROPE: Final = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
WAVE: Final = {"input_values": noise(1, 400)}

PATCHES: Final = {
    "pixel_values": noise(16, 96), "image_grid_thw": torch.tensor([[1, 4, 4]]),
    "mm_token_type_ids": torch.tensor([[0, 0, 0, 1, 1, 1, 1, 0, 0, 0]]),
}  # fmt: skip


def words(*image: int) -> dict[str, torch.Tensor]:
    """Token ids with these image tokens among them."""
    ids = torch.tensor([[5, 6, *image, 7, 8]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


AUDIO: Final = (
    Entry(
        "WhisperForConditionalGeneration", "audio",
        BART | {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 20, "suppress_tokens": None,
                "begin_suppress_tokens": None},
        {"input_features": noise(1, 8, 40), "decoder_input_ids": SHORT},
    ),
    Entry("Wav2Vec2ForCTC", "audio", EAR, WAVE),
    Entry(
        "Wav2Vec2ForCTC", "audio",
        EAR | {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
        WAVE, attention="eager",
    ),
    Entry("HubertForCTC", "audio", EAR, WAVE),
    Entry(
        "SpeechT5ForSpeechToText", "audio",
        {k: v for k, v in EAR.items() if not k.startswith(("num_hidden", "num_attention", "intermediate"))}
        | {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
           "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "num_mel_bins": 8},
        WAVE | {"decoder_input_ids": SHORT},
    ),
    Entry(
        "ASTForAudioClassification", "audio",
        {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 4,
         "max_length": 16, "num_mel_bins": 8, "frequency_stride": 4, "time_stride": 4},
        {"input_values": noise(1, 16, 8)},
    ),
)  # fmt: skip

VISION_LANGUAGE: Final = (
    Entry(
        "CLIPModel", "vision-language",
        {"text_config": TEXT, "vision_config": EYE, "projection_dim": 16},
        ONE | IMAGE,
    ),
    Entry("SiglipModel", "vision-language", {"text_config": TEXT, "vision_config": EYE}, ONE | IMAGE),
    Entry(
        "Blip2ForConditionalGeneration", "vision-language",
        {"vision_config": EYE, "qformer_config": {**TEXT, "encoder_hidden_size": 32}, "text_config": OPT,
         "num_query_tokens": 4, "image_token_index": 63},
        IMAGE | words(63, 63, 63, 63),
    ),
    Entry(
        "InstructBlipForConditionalGeneration", "vision-language",
        {"vision_config": EYE, "qformer_config": {**TEXT, "encoder_hidden_size": 32}, "text_config": OPT,
         "num_query_tokens": 4, "image_token_index": 63},
        IMAGE | words(63, 63, 63, 63) | {"qformer_input_ids": SHORT},
    ),
    Entry(
        "LlavaForConditionalGeneration", "vision-language",
        {"text_config": {"model_type": "llama", **GQA}, "vision_config": {"model_type": "clip_vision_model", **EYE},
         "image_token_index": 63},
        IMAGE | words(63, 63, 63, 63),
    ),
    Entry(
        "Qwen2VLForConditionalGeneration", "vision-language",
        {"text_config": GQA | {"rope_parameters": ROPE},
         "vision_config": QWEN_EYE | {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2},
         "image_token_id": 63, "video_token_id": 62, "vision_start_token_id": 61, "vision_end_token_id": 60},
        PATCHES | words(61, 63, 63, 63, 63, 60),
    ),
    Entry(
        "Qwen2_5_VLForConditionalGeneration", "vision-language",
        {"text_config": GQA | {"rope_parameters": ROPE},
         "vision_config": QWEN_EYE | {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32,
                                      "window_size": 8, "fullatt_block_indexes": [1]},
         "image_token_id": 63, "video_token_id": 62, "vision_start_token_id": 61, "vision_end_token_id": 60},
        PATCHES | words(61, 63, 63, 63, 63, 60),
    ),
    Entry(
        "Idefics3ForConditionalGeneration", "vision-language",
        {"text_config": {"model_type": "llama", **GQA}, "vision_config": EYE | {"image_size": 56},
         "image_token_id": 63, "scale_factor": 2},
        {"pixel_values": noise(1, 1, 3, 56, 56)} | words(63, 63, 63, 63),
    ),
    Entry(
        "SmolVLMForConditionalGeneration", "vision-language",
        {"text_config": {"model_type": "llama", **GQA}, "vision_config": EYE | {"image_size": 56},
         "image_token_id": 63, "scale_factor": 2},
        {"pixel_values": noise(1, 1, 3, 56, 56)} | words(63, 63, 63, 63),
    ),
    Entry(
        "PaliGemmaForConditionalGeneration", "vision-language",
        {"text_config": {"model_type": "gemma", **GQA},
         "vision_config": {"model_type": "siglip_vision_model", **EYE, "projection_dim": 32}, "image_token_index": 63,
         "projection_dim": 32, "hidden_size": 32},
        IMAGE | words(63, 63, 63, 63),
    ),
)  # fmt: skip

SERIES: Final = (
    Entry(
        "TimeSeriesTransformerForPrediction", "time series",
        {"prediction_length": 4, "context_length": 8, "lags_sequence": [1, 2], "num_time_features": 1, "d_model": 16,
         "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
         "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0},
        {"past_values": noise(1, 10), "past_time_features": noise(1, 10, 1),
         "past_observed_mask": torch.ones(1, 10), "future_values": noise(1, 4), "future_time_features": noise(1, 4, 1)},
    ),
    Entry(
        "PatchTSTForPrediction", "time series",
        {"num_input_channels": 2, "context_length": 16, "patch_length": 4, "patch_stride": 4, "d_model": 16,
         "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 24, "prediction_length": 4},
        {"past_values": noise(1, 16, 2)},
    ),
)  # fmt: skip

ENTRIES: Final = (*AUDIO, *VISION_LANGUAGE, *SERIES)
