"""Names that transformers dropped and that something of the installed one stands for faithfully."""

from __future__ import annotations

import functools
import importlib
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final


def _yes(*_: object, **__: object) -> bool:
    return True


def _no(*_: object, **__: object) -> bool:
    return False


def _of(module: str, name: str) -> Callable[[], object]:
    return lambda: getattr(importlib.import_module(module), name)


def _is(value: object) -> Callable[[], object]:
    return lambda: value


def _no_init_weights(_enable: bool = True) -> AbstractContextManager[object]:
    found: Any = importlib.import_module("transformers.initialization")
    return found.no_init_weights() if _enable else nullcontext()


_MASKS: Final = "analyzer.loaders.versions.old_names.masks"

NAMES: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "is_torch_fx_available": (_is(_yes), "True: every supported torch has fx"),
    "is_torch_sdpa_available": (_is(_yes), "True: every supported torch has it"),
    "is_torch_compile_available": (_is(_yes), "True: every supported torch has it"),
    "is_torchdynamo_available": (_is(_yes), "True: every supported torch has it"),
    "is_safetensors_available": (_is(_yes), "True: transformers needs it"),
    "is_torch_greater_or_equal_than_1_10": (_is(True), "True"),
    "is_torch_greater_or_equal_than_1_11": (_is(True), "True"),
    "is_torch_greater_or_equal_than_1_13": (_is(True), "True"),
    "is_torch_greater_or_equal_than_2_2": (_is(True), "True"),
    "is_torch_greater_or_equal_than_2_4": (_is(True), "True"),
    "is_torch_less_than_1_11": (_is(False), "False"),
    "is_torch_1_8_0": (_is(False), "False"),
    "is_torch_greater_or_equal_than_1_8": (_is(True), "True"),
    "is_torch_greater_or_equal_than_1_9": (_is(True), "True"),
    "is_torch_greater_or_equal_than_1_12": (_is(True), "True"),
    "is_torch_greater_or_equal_than_2_0": (_is(True), "True"),
    "is_torch_greater_or_equal_than_2_1": (_is(True), "True"),
    "is_torch_greater_or_equal_than_2_3": (_is(True), "True"),
    "_init_weights": (_is(True), "True: as it is outside of from_pretrained"),
    "is_torch_tpu_available": (_is(_no), "False"),
    "is_tf_available": (_is(_no), "False: transformers has no TensorFlow models any more"),
    "is_flax_available": (_is(_no), "False: transformers has no Flax models any more"),
    "is_ipex_available": (_is(_no), "False"),
    "is_ccl_available": (_is(_no), "False"),
    "is_ftfy_available": (_is(_no), "False"),
    "is_offline_mode": (_is(_yes), "True: nothing is fetched"),
    "is_flash_attn_available": (_of("transformers.utils", "is_flash_attn_2_available"), "is_flash_attn_2_available"),
    "is_flash_attn_2_available": (_of("transformers.utils", "is_flash_attn_2_available"), "transformers.utils' own"),
    "no_init_weights": (_is(_no_init_weights), "that of transformers.initialization"),
    "cached_property": (_is(functools.cached_property), "functools.cached_property"),
    "LossKwargs": (_of("transformers.utils", "TransformersKwargs"), "TransformersKwargs"),
    "KwargsForCausalLM": (_of("transformers.utils", "TransformersKwargs"), "TransformersKwargs"),
    "GenerationMixin": (_of("transformers", "GenerationMixin"), "transformers.GenerationMixin"),
    "PretrainedConfig": (_of("transformers", "PretrainedConfig"), "transformers.PretrainedConfig"),
    "ModelOutput": (_of("transformers.utils", "ModelOutput"), "transformers.utils.ModelOutput"),
    **{name: (_is(Any), "any type: it stands in annotations") for name in (
        "GreedySearchOutput", "ContrastiveSearchOutput", "SampleOutput", "BeamSearchOutput", "BeamSampleOutput",
    )},
    **{
        f"{old}{kind}Output": (_of("transformers.generation.utils", f"{new}{kind}Output"), f"{new}{kind}Output")
        for kind in ("DecoderOnly", "EncoderDecoder")
        for old, new in (
            ("GreedySearch", "Generate"), ("ContrastiveSearch", "Generate"), ("Sample", "Generate"),
            ("BeamSearch", "GenerateBeam"), ("BeamSample", "GenerateBeam"),
        )
    },
    "Conv1D": (_of("transformers.pytorch_utils", "Conv1D"), "transformers.pytorch_utils.Conv1D"),
    "prune_linear_layer": (_of("transformers.pytorch_utils", "prune_linear_layer"), "transformers.pytorch_utils' own"),
    "apply_chunking_to_forward": (
        _of("transformers.pytorch_utils", "apply_chunking_to_forward"), "transformers.pytorch_utils' own",
    ),
    "AutoModelForVision2Seq": (_of("transformers", "AutoModelForImageTextToText"), "AutoModelForImageTextToText"),
    "add_code_sample_docstrings": (_of("transformers.utils", "add_code_sample_docstrings"), "transformers.utils' own"),
    "add_start_docstrings": (_of("transformers.utils", "add_start_docstrings"), "transformers.utils' own"),
    "add_start_docstrings_to_model_forward": (
        _of("transformers.utils", "add_start_docstrings_to_model_forward"), "transformers.utils' own",
    ),
    "replace_return_docstrings": (_of("transformers.utils", "replace_return_docstrings"), "transformers.utils' own"),
    "AttentionMaskConverter": (_of(_MASKS, "AttentionMaskConverter"), "the tool's own copy"),
    **{
        name: (_of(_MASKS, name), "the tool's own copy")
        for name in (
            "_prepare_4d_causal_attention_mask", "_prepare_4d_causal_attention_mask_for_sdpa",
            "_prepare_4d_attention_mask", "_prepare_4d_attention_mask_for_sdpa", "_create_4d_causal_attention_mask",
        )
    },
}  # fmt: skip
"""Name, whichever module it was taken from -> (how to get what stands for it, what that is in a few words)."""

ENDINGS: Final[dict[str, tuple[Callable[[], object], str]]] = {
    "_DOCSTRING": (str, "an empty text"),
    "_ARCHIVE_LIST": (list, "an empty list"),
    "_ARCHIVE_MAP": (dict, "an empty dict"),
}
"""How names end that stand for documentation alone -> as in NAMES."""

MODULES: Final[dict[str, str]] = {
    "transformers.modeling_attn_mask_utils": _MASKS,
    "transformers.deepspeed": "transformers.integrations.deepspeed",
    "transformers.generation_utils": "transformers.generation.utils",
}
"""Module that is gone -> the one that has what it had."""


_ELSEWHERE: Final = (
    "utils", "utils.generic", "utils.import_utils", "utils.deprecation", "modeling_utils", "pytorch_utils",
    "cache_utils", "modeling_outputs", "activations", "modeling_rope_utils", "modeling_layers", "masking_utils",
    "image_utils", "video_utils", "image_transforms", "image_processing_utils", "audio_utils", "processing_utils",
    "tokenization_utils_base", "modeling_flash_attention_utils", "configuration_utils", "loss.loss_utils",
    "generation.configuration_utils", "generation.logits_process", "generation.stopping_criteria",
    "generation.streamers", "generation.utils",
)  # fmt: skip
"""Modules of transformers that are no model's, among which names have moved."""

BESIDE: Final[dict[str, Callable[[], object]]] = {
    **{name: functools.partial(importlib.import_module, name) for name in ("math", "warnings", "copy", "os", "torch")},
    **{name: _of("typing", name) for name in ("Any", "Callable", "Dict", "List", "Optional", "Tuple", "Union")},
    **{name: _of("torch.nn", name) for name in ("BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss")},
    "nn": functools.partial(importlib.import_module, "torch.nn"),
    "F": functools.partial(importlib.import_module, "torch.nn.functional"),
    "logger": lambda: importlib.import_module("transformers.utils.logging").get_logger("transformers"),
}
"""What files of models imported for themselves, so that a star brought it as well."""


def moved(name: str) -> tuple[Callable[[], object], str] | None:
    """The one thing of this name that transformers has elsewhere, and where; None if it has none."""
    for module in _ELSEWHERE:
        try:
            found = vars(importlib.import_module(f"transformers.{module}")).get(name)
        except ImportError:  # a release without that module
            continue
        if found is not None and not isinstance(found, types.ModuleType):
            return _is(found), f"that of transformers.{module}"
    return None


def alias(name: str) -> tuple[Callable[[], object], str] | None:
    """What stands for a name, and that in a few words; None if nothing does."""
    ending = next((one for one in ENDINGS if name.endswith(one)), "")
    return NAMES.get(name) or ENDINGS.get(ending)


def module_for(name: str) -> types.ModuleType | None:
    """A module with what a gone one had, under the gone one's name."""
    if name not in MODULES:
        return None
    source = importlib.import_module(MODULES[name])
    made = types.ModuleType(name)
    made.__dict__.update({k: v for k, v in vars(source).items() if not k.startswith("__")})
    made.__getattr__ = lambda wanted: getattr(source, wanted)  # type: ignore[method-assign]
    return made
