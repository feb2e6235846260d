"""Answers `from_pretrained` inside of a model's code: the other model is built from its config, without weights."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from analyzer.capture.patching import patched
from analyzer.foreign import is_folder
from analyzer.foreign.hub_cache import cached, read_id
from analyzer.loaders.attention_packages import lend as lend_attention
from analyzer.loaders.building import set_config_dtype, settle
from analyzer.loaders.constructor import construct
from analyzer.loaders.files.checkpoint_headers import first_float, read_headers
from analyzer.loaders.limits import check_limits
from analyzer.loaders.remote_code.environment import Environment
from analyzer.loaders.versions.installed import installed

_POPPED: Final = frozenset({
    "state_dict", "from_tf", "from_flax", "proxies", "output_loading_info", "use_auth_token", "_from_pipeline",
    "_from_auto", "dtype", "torch_dtype", "device_map", "max_memory", "offload_folder", "offload_buffers",
    "load_in_8bit", "load_in_4bit", "quantization_config", "subfolder", "_commit_hash", "variant", "adapter_kwargs",
    "adapter_name", "generation_config", "gguf_file", "tp_plan", "tp_size", "distributed_config", "device_mesh",
    "trust_remote_code", "use_kernels", "kernel_config", "allow_all_kernels", "key_mapping", "resume_download",
    "mirror", "_fast_init", "low_cpu_mem_usage", "offload_state_dict", "tqdm_class", "fusion_config", "use_safetensors",
    "cache_dir", "force_download", "local_files_only", "token", "revision", "weights_only", "ignore_mismatched_sizes",
    "disable_mmap", "use_flash_attention_2",
})  # fmt: skip
"""Keywords of `from_pretrained`, in any release, that neither the config nor the class sees."""
_PACKED: Final = ("quantization_config", "load_in_8bit", "load_in_4bit")
_PLACES: Final = ("cache_dir", "revision", "subfolder")
"""Those that say where the config lies."""


def answer_transformers(place: Environment, device: str, *, loading: bool) -> None:
    """Answer for as long as the environment lasts; `loading`: the model itself is loaded by `from_pretrained`."""
    import transformers
    from transformers.utils import hub

    place.add_root(str(hub.HF_MODULES_CACHE))  # where transformers puts code of other repositories
    made: Any = _Answer(place, device, loading)
    why = "A model that another one loads in its constructor is built from its config, without its weights."
    place.stack.enter_context(patched(transformers.PreTrainedModel, "from_pretrained", classmethod(made), why=why))


class _Answer:
    """Stands for `PreTrainedModel.from_pretrained`."""

    def __init__(self, place: Environment, device: str, loading: bool) -> None:
        self._place, self._device, self._loading = place, device, loading

    def __call__(self, cls: Any, name: Any, *args: object, config: Any = None, **keywords: Any) -> object:
        """The model as the real one leaves it, on meta."""
        import transformers

        attention = keywords.pop("attn_implementation", None)
        rest = {key: value for key, value in keywords.items() if key not in _POPPED}
        if isinstance(config, transformers.PretrainedConfig):
            config = copy.deepcopy(config)
        else:
            places = {key: keywords[key] for key in _PLACES if keywords.get(key) is not None}
            source = config if config is not None else name
            config, rest = cls.config_class.from_pretrained(source, return_unused_kwargs=True, **places, **rest)
        if attention is not None:
            config._attn_implementation = attention
        check_limits(Path(str(name), "config.json"), config.to_dict())
        lend_attention(config, self._device, self._place)
        dtype, how = _dtype(name, config, keywords)
        set_config_dtype(config, dtype)
        packed = any(keywords.get(one) for one in _PACKED) or getattr(config, "quantization_config", None) is not None
        self._note(name, f"{how}, not quantized" if packed else how)
        model = construct(cls, config, dtype, self._place.note, *args, **rest)
        settle(model, dtype)
        config.name_or_path = str(name)
        return (model, _LOADED) if keywords.get("output_loading_info") else model

    def _note(self, name: object, how: str) -> None:
        said = f"built from its config in {how}, without its weights"
        if self._loading and _is_refused():
            said = f"{said}; the real from_pretrained refuses it there (RuntimeError: meta device context)"
        self._place.note(f"the code loads the model {name}", said)


_LOADED: Final[Mapping[str, object]] = {
    "missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []
}  # fmt: skip


def _dtype(name: object, config: object, keywords: Mapping[str, Any]) -> tuple[torch.dtype, str]:
    """The dtype that this call of `from_pretrained` loads in, and how that is told."""
    asked = keywords.get("dtype") or keywords.get("torch_dtype") or installed.default_asked()
    if isinstance(asked, dict):
        asked = asked.get("", torch.get_default_dtype())
    if asked != "auto":
        dtype = getattr(torch, asked) if isinstance(asked, str) else asked
        return dtype, _told(dtype)
    said = getattr(config, installed.FLOAT_ATTRIBUTE, None)
    if said is not None:
        dtype = getattr(torch, said) if isinstance(said, str) else said
        return dtype, f"{_told(dtype)}, as its config says"
    folder = _folder(name)
    stored = first_float(read_headers(folder).tensors) if folder is not None else None
    if stored is not None:
        return getattr(torch, stored), f"{stored}, as its weights are stored"
    return torch.float32, "float32, as its config names no dtype and its weights are not looked at"


def _folder(name: object) -> Path | None:
    """The folder of a model on disk."""
    if is_folder(Path(str(name))):
        return Path(str(name))
    wanted = read_id(str(name))
    return cached(wanted) if wanted is not None else None


def _told(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _is_refused() -> bool:
    """Whether the real one raises here, as transformers 5 builds the model around it on the meta device."""
    current: Any = getattr(
        sys.modules["transformers.modeling_utils"], "get_torch_context_manager_or_global_device", None
    )
    return current is not None and current() == torch.device("meta")
