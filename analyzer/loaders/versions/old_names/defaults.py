"""Defaults that single classes of configs had, and that the installed transformers gives them no more."""

from __future__ import annotations

from typing import Any, Final

OF_CLASSES: Final[dict[str, tuple[Any, frozenset[str]]]] = {
    "position_embedding_type": (
        "absolute",
        frozenset(
            {"AlbertConfig", "AlignTextConfig", "AltCLIPTextConfig", "BertConfig", "BertGenerationConfig",
             "Blip2QFormerConfig", "BridgeTowerTextConfig", "CamembertConfig", "ChineseCLIPTextConfig",
             "ClapTextConfig", "DPRConfig", "Data2VecTextConfig", "ElectraConfig", "ErnieConfig", "FlavaTextConfig",
             "GitConfig", "IBertConfig", "InstructBlipQFormerConfig", "InstructBlipVideoQFormerConfig",
             "LayoutLMConfig", "LiltConfig", "MarkupLMConfig", "MegatronBertConfig", "MraConfig", "RoCBertConfig",
             "RobertaConfig", "RobertaPreLayerNormConfig", "XLMRobertaConfig", "XLMRobertaXLConfig", "XmodConfig",
             "YosoConfig"}
        ),
    ),
    "use_cache": (
        True,
        frozenset(
            {"AlignTextConfig", "AltCLIPTextConfig", "ChineseCLIPTextConfig", "ClapTextConfig", "FuyuConfig",
             "Qwen2VLConfig", "SplinterConfig", "T5GemmaConfig"}
        ),
    ),
    "ignore_index": (
        -100,
        frozenset(
            {"LlavaConfig", "LlavaNextConfig", "LlavaNextVideoConfig", "PaliGemmaConfig", "VideoLlavaConfig",
             "VipLlavaConfig"}
        ),
    ),
}  # fmt: skip
"""Attribute -> its default, and the classes whose objects had it in 4.44, 4.48 or 4.57."""
