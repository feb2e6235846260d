"""Why some classes do not run to their end in their default config, where one has looked."""

from __future__ import annotations

from typing import Final

REAL_TOO: Final[dict[str, str]] = {
    "pp_doclayout_v2 PPDocLayoutV2ForObjectDetection": "the default config has no thresholds of classes",
    **dict.fromkeys(
        ("pp_ocrv6_small_det PPOCRV6SmallDetForObjectDetection", "pp_ocrv6_small_det PPOCRV6SmallDetModel"),
        "the default backbone gives 384 channels to a neck built for 12",
    ),
    **dict.fromkeys(
        (
            "blip-2 Blip2Model",
            "blip-2 Blip2ForConditionalGeneration",
            "instructblip InstructBlipModel",
            "instructblip InstructBlipForConditionalGeneration",
            "instructblipvideo InstructBlipVideoModel",
            "instructblipvideo InstructBlipVideoForConditionalGeneration",
        ),
        "the default config has no token that stands for an image, and forward compares with it",
    ),
    **dict.fromkeys(
        (
            "glm4v Glm4vModel",
            "glm4v Glm4vForConditionalGeneration",
            "glm4v_text Glm4vTextModel",
            "glm46v Glm46VModel",
            "glm46v Glm46VForConditionalGeneration",
            "glmga Glm46VModel",
            "glmga Glm46VForConditionalGeneration",
            "glm4v_moe Glm4vMoeModel",
            "glm4v_moe Glm4vMoeForConditionalGeneration",
            "glm4v_moe_text Glm4vMoeTextModel",
            "glm_image GlmImageModel",
            "glm_image GlmImageForConditionalGeneration",
            "glm_image_text GlmImageTextModel",
        ),
        "the default sections of the rotary embedding are not as wide as the default heads",
    ),
    **dict.fromkeys(
        (
            "deepseek_v2 DeepseekV2Model",
            "deepseek_v2 DeepseekV2ForCausalLM",
            "deepseek_v2 DeepseekV2ForSequenceClassification",
        ),
        "the default config does not say how many experts a token has",
    ),
    "blip-2 Blip2ForImageTextRetrieval": "the default Q-Former has no layers for a text, and forward gives it one",
    **dict.fromkeys(
        ("llama4 Llama4ForConditionalGeneration", "llama4 Llama4VisionModel"),
        "the default adapter takes 5632 features, and 3072 come out of the shuffled pixels",
    ),
    **dict.fromkeys(
        ("lw_detr LwDetrModel", "lw_detr LwDetrForObjectDetection"),
        "the default config names no levels of features, and forward joins them",
    ),
    **dict.fromkeys(
        ("edgetam EdgeTamModel", "edgetam_vision_model EdgeTamVisionModel"),
        "the default backbone is a resnet50, with 1024 channels where the neck takes 384",
    ),
    **dict.fromkeys(
        (
            "bark BarkModel",
            "glm_image_vqmodel GlmImageVQVAE",
            "qwen2_5_omni Qwen2_5OmniForConditionalGeneration",
            "qwen3_omni_moe Qwen3OmniMoeForConditionalGeneration",
        ),
        "the class has no forward: its generate calls the parts",
    ),
    **dict.fromkeys(
        (
            "qwen3_omni_moe_thinker Qwen3OmniMoeThinkerForConditionalGeneration",
            "qwen3_omni_moe_thinker Qwen3OmniMoeThinkerModel",
        ),
        "2048 features in 28 default heads leave an odd head of 73",
    ),
    **dict.fromkeys(
        ("step3p7 Step3p7ForConditionalGeneration", "step3p7 Step3p7Model"),
        "forward makes a mask for a sliding window, of which the default config has no size",
    ),
    "vitmatte VitMatteForImageMatting": "the default backbone gives 768 channels to a neck built for 384",
    "uvdoc UVDocModel": "the default backbone gives 128 channels to a bridge built for 768",
}
"""Class -> why transformers itself cannot run it in its default config, whatever it is given."""

OTHERS: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("pi0 PI0ForConditionalGeneration", "pi0 PI0Model"),
        "wants images of several cameras with a mask of them, or the cache that comes of these",
    ),
    "gemma4_unified_assistant Gemma4UnifiedAssistantForCausalLM": "wants the keys and values of another model",
    "pp_ocrv5_mobile_rec PPOCRV5MobileRecForTextRecognition": "its image processor, with the size, needs torchvision",
}
"""Class -> what it wants that nothing in its folder, its signature or its errors says."""
