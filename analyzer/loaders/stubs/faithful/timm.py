"""The layers of timm that remote code takes from it, with its names of parameters and its operations."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analyzer.loaders.stubs.faithful import timm_functions as functions

Make = Callable[..., nn.Module]
Names = dict[str, Any]
_ROOMS: Final = ("timm.layers", "timm.models.layers")
_PARTS: Final = ("", ".attention", ".drop", ".helpers", ".layer_scale", ".mlp", ".norm", ".patch_embed", ".pos_embed",
                 ".weight_init")  # fmt: skip


def modules() -> dict[str, Callable[[], Names]]:
    """Modules of timm -> what makes their names."""
    return {
        **{room + part: layers for room, part in product(_ROOMS, _PARTS)},
        "timm.models._manipulate": layers,
        "timm.models.helpers": layers,
        "timm.data": lambda: dict(functions.MEANS),
        "timm.data.constants": lambda: dict(functions.MEANS),
    }


def layers() -> Names:
    """The layers and functions by name."""
    classes = (
        Attention, Block, DropPath, GroupNorm1, LayerNorm, LayerNorm2d, LayerScale, Mlp, PatchEmbed, RmsNorm,
    )  # fmt: skip
    made = (
        functions.drop_path, functions.lecun_normal_, functions.make_divisible, functions.named_apply,
        functions.resample_abs_pos_embed, functions.to_ntuple, functions.trunc_normal_, functions.trunc_normal_tf_,
        functions.variance_scaling_,
    )  # fmt: skip
    return {**{one.__name__: one for one in (*classes, *made)}, **functions.TUPLES, "_cfg": functions.CFG}


class DropPath(nn.Module):
    """Drops whole samples in training."""

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep = drop_prob, scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        """The input, in training with some samples zero."""
        return functions.drop_path(x, self.drop_prob or 0.0, self.training, self.scale_by_keep)


class Mlp(nn.Module):
    """Two linear layers."""

    def __init__(
        self, in_features: int, hidden_features: int | None = None, out_features: int | None = None,
        act_layer: Make = nn.GELU, norm_layer: Make | None = None, bias: Any = True, drop: Any = 0.0,
        use_conv: bool = False, **dd: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden, out = hidden_features or in_features, out_features or in_features
        biases, drops = functions.TUPLES["to_2tuple"](bias), functions.TUPLES["to_2tuple"](drop)
        make: Make = partial(nn.Conv2d, kernel_size=1) if use_conv else nn.Linear
        self.fc1 = make(in_features, hidden, bias=biases[0], **dd)
        self.act = act_layer()
        self.drop1 = nn.Dropout(drops[0])
        self.norm = norm_layer(hidden, **dd) if norm_layer is not None else nn.Identity()
        self.fc2 = make(hidden, out, bias=biases[1], **dd)
        self.drop2 = nn.Dropout(drops[1])

    def forward(self, x: Tensor) -> Tensor:
        """Both layers, with what lies between."""
        made: Tensor = self.drop2(self.fc2(self.norm(self.drop1(self.act(self.fc1(x))))))
        return made


class PatchEmbed(nn.Module):
    """Cuts an image into patches by a convolution."""

    def __init__(
        self, img_size: Any = 224, patch_size: Any = 16, in_chans: int = 3, embed_dim: int = 768,
        norm_layer: Make | None = None, flatten: bool = True, output_fmt: str | None = None, bias: bool = True,
        strict_img_size: bool = True, dynamic_img_pad: bool = False, **dd: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        pair = functions.TUPLES["to_2tuple"]
        self.patch_size = pair(patch_size)
        self.img_size = pair(img_size) if img_size is not None else None
        sides = zip(self.img_size or (), self.patch_size, strict=False)
        self.grid_size = tuple(size // patch for size, patch in sides) or None
        self.num_patches = self.grid_size[0] * self.grid_size[1] if self.grid_size else None
        self.flatten, self._last = flatten and output_fmt is None, output_fmt == "NHWC"
        self.flatten = self.flatten or output_fmt == "NLC"
        self.strict_img_size, self.dynamic_img_pad = strict_img_size, dynamic_img_pad
        self.proj = nn.Conv2d(in_chans, embed_dim, kernel_size=patch_size, stride=patch_size, bias=bias, **dd)
        self.norm = norm_layer(embed_dim, **dd) if norm_layer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """The patches: in a row, or as an image. Raises AssertionError for an image of another size."""
        for size, wanted, patch in zip(x.shape[-2:], self.img_size or (), self.patch_size, strict=False):
            if self.strict_img_size:
                assert size == wanted, f"Input size ({size}) doesn't match model ({wanted})."
            elif not self.dynamic_img_pad:
                assert size % patch == 0, f"Input size ({size}) should be divisible by patch size ({patch})."
        if self.dynamic_img_pad:
            down, right = (-size % patch for size, patch in zip(x.shape[-2:], self.patch_size, strict=True))
            x = F.pad(x, (0, right, 0, down))
        x = self.proj(x)
        if self.flatten:
            x = x.flatten(2).transpose(1, 2)
        elif self._last:
            x = x.permute(0, 2, 3, 1)
        made: Tensor = self.norm(x)
        return made


class LayerNorm(nn.LayerNorm):
    """With the channels as the first argument."""

    def __init__(self, num_channels: Any, eps: float = 1e-6, affine: bool = True, **kwargs: Any) -> None:
        super().__init__(num_channels, eps=eps, elementwise_affine=affine, **kwargs)


class LayerNorm2d(LayerNorm):
    """Over the channels of images."""

    def forward(self, x: Tensor) -> Tensor:
        """The image, normalized in each place."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class RmsNorm(nn.Module):
    """By `torch.nn.functional.rms_norm`."""

    def __init__(self, channels: Any, eps: float = 1e-6, affine: bool = True, **dd: Any) -> None:
        super().__init__()
        self.normalized_shape = functions.TUPLES["to_1tuple"](channels)
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(self.normalized_shape, **dd)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """The input, normalized."""
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class GroupNorm1(nn.GroupNorm):
    """With one group."""

    def __init__(self, num_channels: int, **kwargs: Any) -> None:
        super().__init__(1, num_channels, **kwargs)


class LayerScale(nn.Module):
    """A factor for each channel."""

    def __init__(self, dim: int, init_values: float = 1e-5, inplace: bool = False, **dd: Any) -> None:
        super().__init__()
        self.inplace = inplace
        self.gamma = nn.Parameter(torch.full((dim,), init_values, **dd))

    def forward(self, x: Tensor) -> Tensor:
        """The input times the factors."""
        return x.mul_(self.gamma) if self.inplace else x * self.gamma


class Attention(nn.Module):
    """Attention of a vision transformer, by `scaled_dot_product_attention`."""

    def __init__(
        self, dim: int, num_heads: int = 8, qkv_bias: bool = False, qk_norm: bool = False, proj_bias: bool = True,
        attn_drop: float = 0.0, proj_drop: float = 0.0, norm_layer: Make = nn.LayerNorm, **dd: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        assert dim % num_heads == 0, "dim should be divisible by num_heads"
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.scale, self.fused_attn = self.head_dim**-0.5, True
        self.qkv = nn.Linear(dim, dim * 3, bias=qkv_bias, **dd)
        self.q_norm = norm_layer(self.head_dim, **dd) if qk_norm else nn.Identity()
        self.k_norm = norm_layer(self.head_dim, **dd) if qk_norm else nn.Identity()
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim, bias=proj_bias, **dd)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """The tokens, each with what the others add."""
        size = x.shape
        parts = self.qkv(x).reshape(size[0], size[1], 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        drop = self.attn_drop.p if self.training else 0.0
        made = F.scaled_dot_product_attention(
            self.q_norm(q), self.k_norm(k), v, attn_mask=attn_mask, dropout_p=drop, is_causal=is_causal
        )
        out: Tensor = self.proj_drop(self.proj(made.transpose(1, 2).reshape(size)))
        return out


class Block(nn.Module):
    """A block of a vision transformer."""

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float = 4.0, qkv_bias: bool = False, qk_norm: bool = False,
        proj_bias: bool = True, proj_drop: float = 0.0, attn_drop: float = 0.0, init_values: float | None = None,
        drop_path: float = 0.0, act_layer: Make = nn.GELU, norm_layer: Make = LayerNorm, mlp_layer: Make = Mlp,
        **dd: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.norm1 = norm_layer(dim, **dd)
        self.attn = Attention(
            dim, num_heads, qkv_bias=qkv_bias, qk_norm=qk_norm, proj_bias=proj_bias, attn_drop=attn_drop,
            proj_drop=proj_drop, norm_layer=norm_layer, **dd,
        )  # fmt: skip
        self.ls1 = LayerScale(dim, init_values, **dd) if init_values else nn.Identity()
        self.drop_path1 = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()
        self.norm2 = norm_layer(dim, **dd)
        self.mlp = mlp_layer(dim, int(dim * mlp_ratio), act_layer=act_layer, bias=proj_bias, drop=proj_drop, **dd)
        self.ls2 = LayerScale(dim, init_values, **dd) if init_values else nn.Identity()
        self.drop_path2 = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Attention and the layers behind it."""
        x = x + self.drop_path1(self.ls1(self.attn(self.norm1(x), attn_mask=attn_mask, is_causal=is_causal)))
        made: Tensor = x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))
        return made
