"""Small vision models: backbones, classifiers, detection, segmentation and depth."""

from __future__ import annotations

from typing import Any, Final

import torch

from tests.truth.entry import Entry


def noise(*shape: int) -> torch.Tensor:
    """Float inputs that are always the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


VIT: Final[dict[str, Any]] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 28,
    "patch_size": 14, "num_labels": 3,
}  # fmt: skip
SWIN: Final = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
RESNET: Final = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
DETR: Final = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "num_queries": 5, "num_labels": 3,
}  # fmt: skip
IMAGE: Final = {"pixel_values": noise(1, 3, 28, 28)}
IMAGE32: Final = {"pixel_values": noise(1, 3, 32, 32)}
IMAGE64: Final = {"pixel_values": noise(1, 3, 64, 64)}

BACKBONES: Final = (
    Entry("ViTForImageClassification", "vision", VIT, IMAGE),
    Entry("Dinov2ForImageClassification", "vision", VIT | {"mlp_ratio": 2}, IMAGE),
    Entry("BeitForImageClassification", "vision", VIT | {"use_relative_position_bias": True}, IMAGE),
    Entry("SwinForImageClassification", "vision", SWIN, IMAGE32),
    Entry(
        "ConvNextForImageClassification", "vision",
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
        IMAGE32,
    ),
    Entry("ResNetForImageClassification", "vision", RESNET, IMAGE32),
)  # fmt: skip

DETECTORS: Final = (
    Entry(
        "DetrForObjectDetection", "detection",
        DETR | {"backbone_config": {"model_type": "resnet", **RESNET, "out_features": ["stage2"]},
                "use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None},
        IMAGE64,
    ),
    Entry("YolosForObjectDetection", "detection", VIT | {"image_size": [28, 28], "num_detection_tokens": 5}, IMAGE),
    Entry(
        "DeformableDetrForObjectDetection", "detection",
        DETR | {"backbone_config": {"model_type": "resnet", **RESNET, "out_features": ["stage1", "stage2"]},
                "use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None,
                "decoder_layers": 2, "num_feature_levels": 2, "encoder_n_points": 2, "decoder_n_points": 2},
        IMAGE64,
    ),
)  # fmt: skip

SEGMENTERS: Final = (
    Entry(
        "SegformerForSemanticSegmentation", "segmentation",
        {"num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [16, 32],
         "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2],
         "decoder_hidden_size": 16, "num_labels": 3},
        IMAGE32,
    ),
    Entry(
        "Mask2FormerModel", "segmentation",
        {"backbone_config": {"model_type": "swin", **SWIN, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1],
                             "out_features": ["stage1", "stage2", "stage3", "stage4"]},
         "hidden_dim": 32, "feature_size": 32, "mask_feature_size": 32, "encoder_feedforward_dim": 48,
         "dim_feedforward": 48, "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 4, "num_queries": 5,
         "num_labels": 3},
        IMAGE64,
    ),
    Entry(
        "OneFormerModel", "segmentation",
        {"backbone_config": {"model_type": "swin", **SWIN, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1],
                             "out_features": ["stage1", "stage2", "stage3", "stage4"]},
         "hidden_dim": 32, "conv_dim": 32, "mask_dim": 32, "encoder_feedforward_dim": 48, "dim_feedforward": 48,
         "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 4, "num_queries": 5, "num_labels": 3,
         "text_encoder_vocab_size": 64, "text_encoder_width": 16, "text_encoder_num_layers": 1, "is_training": False,
         "text_encoder_context_length": 12, "task_seq_len": 12, "query_dec_layers": 1},
        IMAGE64 | {"task_inputs": torch.arange(3, 15)[None]},
    ),
    Entry(
        "SamModel", "segmentation",
        {"vision_config": {"hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
                           "image_size": 32, "patch_size": 8, "mlp_dim": 48, "window_size": 2, "num_pos_feats": 8,
                           "global_attn_indexes": [1]},
         "prompt_encoder_config": {"hidden_size": 16, "image_size": 32, "patch_size": 8, "image_embedding_size": 4,
                                   "mask_input_channels": 4},
         "mask_decoder_config": {"hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
                                 "iou_head_hidden_dim": 16}},
        IMAGE32 | {"input_points": torch.tensor([[[[4.0, 9.0]]]])},
    ),
    Entry(
        "DPTForDepthEstimation", "segmentation",
        VIT | {"image_size": 32, "patch_size": 8, "num_hidden_layers": 4, "backbone_out_indices": [0, 1, 2, 3],
               "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 16, "reassemble_factors": [4, 2, 1, 0.5],
               "is_hybrid": False},
        IMAGE32,
    ),
)  # fmt: skip

ENTRIES: Final = (*BACKBONES, *DETECTORS, *SEGMENTERS)
