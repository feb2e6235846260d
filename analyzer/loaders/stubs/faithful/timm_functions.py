"""The functions of timm that constructors call: tuples, initial values, tables of positions, settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEANS: Final = {
    "IMAGENET_DEFAULT_MEAN": (0.485, 0.456, 0.406),
    "IMAGENET_DEFAULT_STD": (0.229, 0.224, 0.225),
    "IMAGENET_INCEPTION_MEAN": (0.5, 0.5, 0.5),
    "IMAGENET_INCEPTION_STD": (0.5, 0.5, 0.5),
    "OPENAI_CLIP_MEAN": (0.48145466, 0.4578275, 0.40821073),
    "OPENAI_CLIP_STD": (0.26862954, 0.26130258, 0.27577711),
}
"""What `timm.data` says of images."""
_TRUNCATED: Final = 0.87962566103423978
"""The standard deviation of a standard normal that is cut off at two."""


class _Applied(Protocol):
    def __call__(self, *, module: nn.Module, name: str) -> object: ...


def to_ntuple(count: int) -> Callable[[Any], tuple[Any, ...]]:
    """What makes a tuple of `count` of a single value, and a tuple of any other iterable."""

    def parse(value: Any) -> tuple[Any, ...]:
        single = isinstance(value, str) or not isinstance(value, Iterable)
        return (value,) * count if single else tuple(value)

    return parse


TUPLES: Final = {f"to_{count}tuple": to_ntuple(count) for count in range(1, 5)}
"""`to_2tuple` and its like."""


def make_divisible(v: float, divisor: int = 8, min_value: int | None = None, round_limit: float = 0.9) -> int:
    """The nearest multiple of `divisor`, not much below `v`."""
    made = max(min_value or divisor, int(v + divisor / 2) // divisor * divisor)
    return made + divisor if made < round_limit * v else made


def drop_path(x: Tensor, drop_prob: float = 0.0, training: bool = False, scale_by_keep: bool = True) -> Tensor:
    """Drop whole samples in training."""
    if drop_prob == 0.0 or not training:
        return x
    keep = 1 - drop_prob
    mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
    if keep > 0.0 and scale_by_keep:
        mask.div_(keep)
    return x * mask


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Values of a normal that is cut off at `a` and `b`."""
    return nn.init.trunc_normal_(tensor, mean, std, a, b)


def trunc_normal_tf_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Values of a standard normal that is cut off at `a` and `b`, then scaled and moved."""
    with torch.no_grad():
        return nn.init.trunc_normal_(tensor, 0.0, 1.0, a, b).mul_(std).add_(mean)


def variance_scaling_(tensor: Tensor, scale: float = 1.0, mode: str = "fan_in", distribution: str = "normal") -> None:
    """Values whose variance goes by how much goes in or out."""
    ins, outs = nn.init._calculate_fan_in_and_fan_out(tensor)
    variance = scale / {"fan_in": ins, "fan_out": outs, "fan_avg": (ins + outs) / 2}[mode]
    if distribution == "truncated_normal":
        trunc_normal_tf_(tensor, std=math.sqrt(variance) / _TRUNCATED)
    elif distribution == "normal":
        nn.init.normal_(tensor, std=math.sqrt(variance))
    else:
        nn.init.uniform_(tensor, -math.sqrt(3 * variance), math.sqrt(3 * variance))


def lecun_normal_(tensor: Tensor) -> None:
    """A truncated normal by how much goes in."""
    variance_scaling_(tensor, distribution="truncated_normal")


def resample_abs_pos_embed(
    posemb: Tensor, new_size: Any, old_size: Any = None, num_prefix_tokens: int = 1, interpolation: str = "bicubic",
    antialias: bool = True, verbose: bool = False, align_corners: bool | None = None,
) -> Tensor:  # fmt: skip
    """A table of positions for another grid, computed in float32, in the dtype that it had."""
    side = int(math.sqrt(posemb.shape[1] - num_prefix_tokens))
    same = old_size is None and new_size[0] == new_size[1]
    same = same or (old_size is not None and tuple(old_size) == tuple(new_size))
    if same and new_size[0] * new_size[1] + num_prefix_tokens == posemb.shape[1]:
        return posemb
    old = old_size or (side, side)
    grid = posemb
    if num_prefix_tokens:
        prefix, grid = posemb[:, :num_prefix_tokens], posemb[:, num_prefix_tokens:]
    made = grid.float().reshape(1, old[0], old[1], -1).permute(0, 3, 1, 2)
    made = F.interpolate(
        made, size=tuple(new_size), mode=interpolation, align_corners=align_corners, antialias=antialias
    )
    made = made.permute(0, 2, 3, 1).reshape(1, -1, grid.shape[-1]).to(grid.dtype)
    return torch.cat([prefix, made], dim=1) if num_prefix_tokens else made


def named_apply(
    fn: _Applied, module: nn.Module, name: str = "", depth_first: bool = True, include_root: bool = False
) -> nn.Module:
    """Call `fn(module=, name=)` for each module below one."""
    if include_root and not depth_first:
        fn(module=module, name=name)
    for child, part in module.named_children():
        named_apply(fn, part, f"{name}.{child}" if name else child, depth_first, True)
    if include_root and depth_first:
        fn(module=module, name=name)
    return module


def _cfg(url: str = "", **kwargs: object) -> dict[str, object]:
    mean = MEANS["IMAGENET_INCEPTION_MEAN"]
    return {
        "url": url, "num_classes": 1000, "input_size": (3, 224, 224), "pool_size": None, "crop_pct": 0.9,
        "interpolation": "bicubic", "fixed_input_size": True, "mean": mean, "std": mean,
        "first_conv": "patch_embed.proj", "classifier": "head", "license": "apache-2.0", **kwargs,
    }  # fmt: skip


CFG: Final = partial(_cfg)
"""The settings of a model, as a dict."""
