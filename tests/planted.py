"""Plants independent faults of dtype into small real models, each alone or several at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers as hf
from torch import nn

from tests.capture.models import IDS, MODELS, TINY, Made
from tests.versions import images

VISION = {k: v for k, v in TINY.items() if k != "vocab_size"} | {"image_size": 28, "patch_size": 14}


def vit() -> Made:
    """A vision encoder."""
    return hf.ViTModel(hf.ViTConfig(**VISION)), {"pixel_values": torch.ones(1, 3, 28, 28)}


def llava() -> Made:
    """A vision-language model: a tower, a projector and a decoder."""
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**VISION, projection_dim=16), text_config=hf.LlamaConfig(**TINY),
        image_token_index=60, vision_feature_layer=-1, image_seq_length=4,
    )  # fmt: skip
    ids = torch.cat([torch.full((1, 4), 60), IDS], dim=1)
    return hf.LlavaForConditionalGeneration(config), {"input_ids": ids, "pixel_values": torch.ones(1, 3, 28, 28)}


def wav2vec2() -> Made:
    """Convolutions over raw sound, then an encoder."""
    config = hf.Wav2Vec2Config(
        **TINY, conv_dim=(16, 16), conv_stride=(5, 2), conv_kernel=(10, 3), num_feat_extract_layers=2,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    return hf.Wav2Vec2Model(config), {"input_values": torch.ones(1, 400)}


ALL: dict[str, Callable[[], Made]] = MODELS | {f.__name__: f for f in (vit, *([llava] if images else []), wav2vec2)}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: a kind of PLANTERS, and the parameter, module or input that it is planted into."""

    kind: str
    where: str


def planted(name: str, faults: Iterable[Fault]) -> Made:
    """The model of that name in bfloat16, in evaluation mode, with the faults and nothing else out of order."""
    torch.manual_seed(0)
    module, inputs = ALL[name]()
    module = module.to(torch.bfloat16).eval()
    inputs = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in inputs.items()}
    for fault in faults:
        PLANTERS[fault.kind](module, inputs, fault.where)
    return module, inputs


def root(fault: Fault) -> str:
    """How a report names the fault: a stored tensor by its name, code by its line."""
    if fault.kind in ("parameter", "input"):
        return f"{fault.kind} {fault.where}"
    if fault.kind == "buffer":
        return f"buffer {fault.where}.planted"
    lines, start = inspect.getsourcelines(_Scale if fault.kind == "written" else PLANTERS[fault.kind])
    return f"line {start + next(i for i, line in enumerate(lines) if '# here' in line)}"


def _parameter(module: nn.Module, inputs: dict[str, Any], where: str) -> None:
    owner, _, key = where.rpartition(".")
    holder = module.get_submodule(owner)
    setattr(holder, key, nn.Parameter(getattr(holder, key).detach().float()))


def _input(module: nn.Module, inputs: dict[str, Any], where: str) -> None:
    inputs[where] = inputs[where].float()


def _buffer(module: nn.Module, inputs: dict[str, Any], where: str) -> None:
    holder = module.get_submodule(where)
    holder.register_buffer("planted", torch.zeros(32))
    holder.register_forward_hook(lambda owner, _, out: _first(out, lambda x: x + owner.planted))


def _hook(module: nn.Module, inputs: dict[str, Any], where: str) -> None:
    def widen(x: torch.Tensor) -> torch.Tensor:
        return x.float()  # here

    module.get_submodule(where).register_forward_hook(lambda _, __, out: _first(out, widen))


def _table(module: nn.Module, inputs: dict[str, Any], where: str) -> None:
    table = np.zeros(32)

    def add(x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_numpy(table)  # here

    module.get_submodule(where).register_forward_hook(lambda _, __, out: _first(out, add))


class _Scale(nn.Module):
    """A module that someone wrote: its constant is in the default dtype."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.full((x.shape[-1],), 0.5)  # here


def _written(module: nn.Module, inputs: dict[str, Any], where: str) -> None:
    holder = module.get_submodule(where)
    holder.add_module("planted_scale", _Scale())
    holder.register_forward_hook(lambda owner, _, out: _first(out, owner.planted_scale))


def _first(out: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return change(out) if isinstance(out, torch.Tensor) else (change(out[0]), *out[1:])


PLANTERS: dict[str, Callable[[nn.Module, dict[str, Any], str], None]] = {
    "parameter": _parameter,
    "input": _input,
    "buffer": _buffer,
    "hook": _hook,
    "table": _table,
    "written": _written,
}


def places(name: str) -> list[Fault]:
    """Every fault that could be planted into a model: its parameters, inputs, and modules with a hidden state."""
    module, inputs = planted(name, [])
    hidden: dict[str, None] = {}
    for path, part in list(module.named_modules())[1:]:
        part.register_forward_hook(lambda _, __, out, path=path: _note(hidden, path, out))
    with torch.no_grad():
        module(**inputs)
    found = [Fault("parameter", key) for key, p in module.named_parameters() if p.dtype == torch.bfloat16]
    found += [Fault("input", key) for key, tensor in inputs.items() if tensor.is_floating_point()]
    return found + [Fault(kind, path) for kind in ("buffer", "hook", "table", "written") for path in hidden]


def _note(hidden: dict[str, None], path: str, out: Any) -> None:
    first = out[0] if isinstance(out, tuple) else out
    if isinstance(first, torch.Tensor) and first.dtype == torch.bfloat16 and first.shape[-1] == 32:
        hidden[path] = None
