"""Checkpoints of the small Llama: safetensors in one file and in shards, pickles, and exported programs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any, Final

from tests.fuzzing.inputs import Content, Seed
from tests.fuzzing.laws.archives import safetensors
from tests.fuzzing.seeds.configs import TRACE, tiny

_LAYER: Final = {
    "self_attn.q_proj": [16, 16], "self_attn.k_proj": [16, 16], "self_attn.v_proj": [16, 16],
    "self_attn.o_proj": [16, 16],
    "mlp.gate_proj": [32, 16], "mlp.up_proj": [32, 16], "mlp.down_proj": [16, 32], "input_layernorm": [16],
    "post_attention_layernorm": [16],
}  # fmt: skip
SHAPES: Final[dict[str, list[int]]] = {
    "model.embed_tokens.weight": [64, 16], "model.norm.weight": [16], "lm_head.weight": [64, 16],
    **{f"model.layers.0.{name}.weight": shape for name, shape in _LAYER.items()},
}  # fmt: skip
_WIDTH: Final = 2


def header(shapes: dict[str, list[int]], dtype: str = "BF16") -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file of these tensors, and its data."""
    made: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        size = _WIDTH
        for length in shape:
            size *= length
        made[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return made, bytes(at)


def _whole() -> Seed:
    file = "model/model.safetensors"
    return Seed({**tiny(), file: safetensors(*header(SHAPES))}, TRACE, (file,))


def _sharded(suffix: str = "safetensors", start: str = "model") -> Seed:
    names = sorted(SHAPES)
    halves = names[:5], names[5:]
    files: dict[str, Content] = dict(tiny())
    weights = {}
    for number, half in enumerate(halves, 1):
        file = f"{start}-{number:05}-of-00002.{suffix}"
        part = {name: SHAPES[name] for name in half}
        files[f"model/{file}"] = safetensors(*header(part)) if suffix == "safetensors" else _saved(part)
        weights.update(dict.fromkeys(half, file))
    index = f"model/{start}.{suffix}.index.json"
    files[index] = json.dumps({"metadata": {"total_size": 9000}, "weight_map": weights}).encode()
    foreign = tuple(name for name in files if name != "model/config.json")
    return Seed(files, TRACE, (index, *foreign))


def _saved(shapes: dict[str, list[int]], legacy: bool = False) -> bytes:
    import torch

    target = io.BytesIO()
    state = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    torch.save(state, target, _use_new_zipfile_serialization=not legacy)
    return target.getvalue()


def _pickled(legacy: bool) -> Seed:
    file = "model/pytorch_model.bin"
    return Seed({**tiny(), file: _saved(SHAPES, legacy)}, TRACE, (file,))


def _program(dynamic: bool, wide: bool) -> Seed:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)
            self.second = nn.Linear(8, 4).to(torch.float32 if wide else torch.float64)

        def forward(self, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            seen = self.norm(self.first(x)).relu()
            seen = torch.cat([seen, seen[:, :2].softmax(-1)], 1)[:, :8]
            return self.second(seen.to(self.second.weight.dtype)) * index.sum()

    given = torch.ones(4, 8), torch.tensor([1, 2])
    shapes = {"x": {0: torch.export.Dim("batch", min=2, max=64)}, "index": None} if dynamic else None
    target = io.BytesIO()
    torch.export.save(torch.export.export(Net().eval(), given, dynamic_shapes=shapes), target)
    return Seed({"net.pt2": target.getvalue()}, ("trace", "net.pt2"))


SAFETENSORS: Final[dict[str, Callable[[], Seed]]] = {"whole": _whole, "sharded": _sharded}
PICKLED: Final[dict[str, Callable[[], Seed]]] = {
    "zip": lambda: _pickled(False),
    "legacy": lambda: _pickled(True),
    "sharded": lambda: _sharded("bin", "pytorch_model"),
}
PROGRAMS: Final[dict[str, Callable[[], Seed]]] = {
    "static": lambda: _program(False, True),
    "dynamic": lambda: _program(True, True),
    "float64": lambda: _program(False, False),
}
