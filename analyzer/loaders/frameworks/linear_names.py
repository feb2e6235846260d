"""Finds the linear layers that a training framework gives an adapter where a recipe says all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from torch import nn

from analyzer.ir.literal_types import LinearNames

_OUTPUTS: Final = ("lm_head", "embed_out")
_GRIDS: Final = ("visual.patch_embed", "visual.blocks")


@dataclass(frozen=True, slots=True)
class _Parts:
    """Where LLaMA-Factory finds the parts of a model of several kinds of input."""

    projectors: tuple[str, ...] = ("multi_modal_projector",)
    vision: tuple[str, ...] = ("vision_tower",)
    never: tuple[str, ...] = ()


_QWEN: Final = _Parts(("visual.merger",), _GRIDS, ("patch_embed",))
_QWEN3: Final = _Parts(
    ("visual.merger",), (*_GRIDS, "visual.pos_embed", "visual.deepstack_merger_list"), ("patch_embed",)
)
_COMPOSITE: Final[dict[str, _Parts]] = {
    **dict.fromkeys(
        ("gemma3", "internvl", "interns1", "kimi_vl", "llava", "llava_next", "llava_next_video", "mistral3",
         "paligemma", "video_llava"), _Parts(),
    ),
    **dict.fromkeys(("llama4", "mllama"), _Parts(vision=("vision_model",))),
    **dict.fromkeys(("glm4v", "glm4v_moe", "glm_ocr", "qwen2_vl", "qwen2_5_vl", "qwen3_5", "qwen3_5_moe"), _QWEN),
    **dict.fromkeys(("qwen3_vl", "qwen3_vl_moe"), _QWEN3),
    "dots_ocr": _Parts(("vision_tower.merger",), never=("merger",)),
    "gemma3n": _Parts(vision=("vision_tower", "audio_tower"), never=("timm_model", "subsample_conv_projection")),
    "gemma4": _Parts(("model.embed_vision", "model.embed_audio"), ("vision_tower", "audio_tower")),
    "minicpmv": _Parts(("resampler",), ("vpm",)),
    "minicpmo": _Parts(("resampler",), ("vpm", "apm", "audio_avg_pooler", "audio_projection_layer", "tts")),
    "qwen2_audio": _Parts(vision=("audio_tower",)),
}  # fmt: skip
"""Model type -> its parts, as src/llamafactory/model/model_utils/visual.py (revision ff6d4d1) registers them."""
_HEADS: Final = {"chatglm": "output_layer", "internlm2": "output"}


def linear_names(model: Any, rule: LinearNames) -> list[str]:
    """Names for a config's `target_modules`, by the rule of a framework."""
    return _of_axolotl(model) if rule == "axolotl" else _of_llama_factory(model, vision=rule.endswith("vision too"))


def _of_axolotl(model: nn.Module) -> list[str]:
    """`find_all_linear_names` of src/axolotl/loaders/adapter.py (revision 067b021): last names, but the output's."""
    found = {path.rpartition(".")[2] for path, part in model.named_modules() if _is_linear(part)}
    return sorted(found.difference(_OUTPUTS))


def _of_llama_factory(model: Any, *, vision: bool) -> list[str]:
    """`find_all_linear_modules`, and `patch_target_modules` for models of several kinds of input."""
    kind = str(getattr(model.config, "model_type", ""))
    parts = _COMPOSITE.get(kind)
    forbidden = ["lm_head", *filter(None, [_HEADS.get(kind)])]
    if parts is not None:
        forbidden += [*parts.projectors, *(() if vision else parts.vision)]
    names = {
        path.rpartition(".")[2]
        for path, part in model.named_modules()
        if _is_linear(part) and not any(word in path for word in forbidden)
    }
    if parts is None:
        return sorted(names)
    frozen = (*parts.projectors, *(() if vision else parts.vision), *parts.never)
    return [
        path
        for path, part in model.named_modules()
        if any(name in path for name in names) and not any(word in path for word in frozen) and _is_linear(part)
    ]


def _is_linear(part: nn.Module) -> bool:
    name = type(part).__name__
    return isinstance(part, nn.Linear) or ("Linear" in name and "Embedding" not in name and "Scaling" not in name)
