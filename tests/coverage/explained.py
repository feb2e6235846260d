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
        ("blip-2 Blip2Model", "instructblip InstructBlipModel", "instructblipvideo InstructBlipVideoModel"),
        "the default config has no token that stands for an image, and forward compares with it",
    ),
    **dict.fromkeys(
        (
            "glm4v Glm4vModel",
            "glm4v_text Glm4vTextModel",
            "glm46v Glm46VModel",
            "glmga Glm46VModel",
            "glm4v_moe Glm4vMoeModel",
            "glm4v_moe_text Glm4vMoeTextModel",
        ),
        "the default sections of the rotary embedding are not as wide as the default heads",
    ),
    "deepseek_v2 DeepseekV2Model": "the default config does not say how many experts a token has",
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
    "uvdoc UVDocModel": "the default backbone gives 128 channels to a bridge built for 768",
}
"""Class -> why transformers itself cannot run it in its default config, whatever it is given."""

OTHERS: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("pi0 PI0ForConditionalGeneration", "pi0 PI0Model"),
        "wants images of several cameras with a mask of them, or the cache that comes of these",
    ),
    "pp_ocrv5_mobile_rec PPOCRV5MobileRecForTextRecognition": "its image processor, with the size, needs torchvision",
    **dict.fromkeys(
        ("sam2_video Sam2VideoModel", "sam3_tracker_video Sam3TrackerVideoModel", "sam3_video Sam3VideoModel"),
        "wants a session with the objects that a person has marked in a video",
    ),
}
"""Class -> what it wants that nothing in its folder, its signature or its errors says."""
