"""The vision transformers that `timm.create_model` makes by name, as far as their names tell how they are built."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analyzer.loaders.stubs.faithful.timm import Block, LayerNorm, Make, Mlp, PatchEmbed
from analyzer.loaders.stubs.faithful.timm_functions import resample_abs_pos_embed
from analyzer.loaders.stubs.inert import StandInModule

_SIZES: Final = {
    "tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16),
    "so400m": (1152, 27, 16),
}  # fmt: skip
"""Width, blocks and heads."""
_KINDS: Final[dict[str, dict[str, Any]]] = {
    "": {},
    "clip": {"pre_norm": True, "norm_layer": partial(LayerNorm, eps=1e-5)},
    "siglip": {"class_token": False, "global_pool": "map", "num_classes": 0},
    "dinov2": {"img_size": 518, "init_values": 1e-5, "num_classes": 0},
    "reg4_dinov2": {
        "img_size": 518,
        "init_values": 1e-5,
        "reg_tokens": 4,
        "no_embed_class": True,
        "num_classes": 0,
    },
}
_NAME: Final = re.compile(
    r"vit_(tiny|small|base|large|so400m)_patch(14|16|32)_?(clip|siglip|reg4_dinov2|dinov2|)_?(\d*)"
)
_UNLIKE: Final = frozenset(
    {"vit_base_patch32_siglip_256", "vit_large_patch16_siglip_512", "vit_large_patch32_224",
     "vit_so400m_patch16_siglip_256", "vit_so400m_patch16_siglip_384", "vit_so400m_patch16_siglip_512"}
)  # fmt: skip
"""Models with another GELU or another head than their names tell."""


def create_model(model_name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """The vision transformer of that name; of another one a stand-in."""
    made = arguments(model_name)
    if made is None or ("_clip_" in model_name and "num_classes" not in kwargs):  # which goes by the weights there
        return StandInModule(f"timm.create_model('{model_name}')", "the package timm is not there", "pip install timm")
    of_weights = ("pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable")
    given = {name: value for name, value in kwargs.items() if value is not None and name not in of_weights}
    return VisionTransformer(**{**made, **given})


def arguments(model_name: str) -> dict[str, Any] | None:
    """How the model of a name is built; None where the name does not tell.

    >>> arguments("vit_base_patch16_224.augreg")["embed_dim"], arguments("resnet18")
    (768, None)
    """
    name = model_name.partition(".")[0]
    found = _NAME.fullmatch(name)
    if found is None or name in _UNLIKE:
        return None
    width, depth, heads = _SIZES[found[1]]
    ratio = {"mlp_ratio": 3.7362} if found[1] == "so400m" else {}
    size = {"img_size": int(found[4])} if found[4] else {}
    shape = {"patch_size": int(found[2]), "embed_dim": width, "depth": depth, "num_heads": heads}
    return {**shape, **ratio, **_KINDS[found[3]], **size}


class AttentionPoolLatent(nn.Module):
    """Attention of one learned query over all tokens."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: float, norm_layer: Make, act_layer: Make) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, width // num_heads
        self.latent = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, width * 2)
        self.q_norm, self.k_norm = nn.Identity(), nn.Identity()
        self.proj = nn.Linear(width, width)
        self.proj_drop = nn.Dropout(0.0)
        self.norm = norm_layer(width)
        self.mlp = Mlp(width, int(width * mlp_ratio), act_layer=act_layer)

    def forward(self, x: Tensor) -> Tensor:
        """One vector an image."""
        batch, tokens, width = x.shape
        latent = self.latent.expand(batch, -1, -1)
        q = self.q(latent).reshape(batch, 1, self.num_heads, self.head_dim).transpose(1, 2)
        k, v = self.kv(x).reshape(batch, tokens, 2, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)
        x = self.proj_drop(self.proj(found.transpose(1, 2).reshape(batch, 1, width)))
        made: Tensor = x + self.mlp(self.norm(x))
        return made[:, 0]


def _blocks(make: Make, depth: int, drop_path_rate: float) -> list[nn.Module]:
    """Blocks that drop more and more samples."""
    return [make(drop_path=drop_path_rate * at / max(depth - 1, 1)) for at in range(depth)]


class VisionTransformer(nn.Module):
    """A vision transformer."""

    def __init__(
        self, img_size: Any = 224, patch_size: Any = 16, in_chans: int = 3, num_classes: int = 1000,
        global_pool: str = "token", embed_dim: int = 768, depth: int = 12, num_heads: int = 12, mlp_ratio: float = 4.0,
        qkv_bias: bool = True, qk_norm: bool = False, proj_bias: bool = True, init_values: float | None = None,
        class_token: bool = True, no_embed_class: bool = False, reg_tokens: int = 0, pre_norm: bool = False,
        final_norm: bool = True, fc_norm: bool | None = None, dynamic_img_size: bool = False,
        dynamic_img_pad: bool = False, drop_rate: float = 0.0, pos_drop_rate: float = 0.0, proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0, drop_path_rate: float = 0.0, weight_init: str = "", norm_layer: Make | None = None,
        act_layer: Make | None = None, embed_layer: Make = PatchEmbed, block_fn: Make = Block, mlp_layer: Make = Mlp,
    ) -> None:  # fmt: skip
        super().__init__()
        norm, act = norm_layer or LayerNorm, act_layer or nn.GELU
        pooled = global_pool in ("avg", "avgmax", "max") if fc_norm is None else fc_norm
        self.num_classes, self.in_chans, self.global_pool = num_classes, in_chans, global_pool
        self.num_features = self.head_hidden_size = self.embed_dim = embed_dim
        self.has_class_token, self.num_reg_tokens = class_token, reg_tokens
        self.num_prefix_tokens = int(class_token) + reg_tokens
        self.no_embed_class, self.dynamic_img_size, self.grad_checkpointing = no_embed_class, dynamic_img_size, False
        later = {"strict_img_size": False, "output_fmt": "NHWC"} if dynamic_img_size else {}
        patches: Any = embed_layer(
            img_size=img_size, patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim, bias=not pre_norm,
            dynamic_img_pad=dynamic_img_pad, **later,
        )  # fmt: skip
        self.patch_embed: Any = patches
        places: int = patches.num_patches + (0 if no_embed_class else self.num_prefix_tokens)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if class_token else None
        self.reg_token = nn.Parameter(torch.zeros(1, reg_tokens, embed_dim)) if reg_tokens else None
        self.pos_embed = nn.Parameter(torch.randn(1, places, embed_dim) * 0.02)
        self.pos_drop, self.patch_drop = nn.Dropout(pos_drop_rate), nn.Identity()
        self.norm_pre = norm(embed_dim) if pre_norm else nn.Identity()
        block = partial(
            block_fn, dim=embed_dim, num_heads=num_heads, mlp_ratio=mlp_ratio, qkv_bias=qkv_bias, qk_norm=qk_norm,
            proj_bias=proj_bias, init_values=init_values, proj_drop=proj_drop_rate, attn_drop=attn_drop_rate,
            norm_layer=norm, act_layer=act, mlp_layer=mlp_layer,
        )  # fmt: skip
        self.blocks = nn.Sequential(*_blocks(block, depth, drop_path_rate))
        self.norm = norm(embed_dim) if final_norm and not pooled else nn.Identity()
        by_query = global_pool == "map"
        self.attn_pool = AttentionPoolLatent(embed_dim, num_heads, mlp_ratio, norm, act) if by_query else None
        self.fc_norm = norm(embed_dim) if final_norm and pooled else nn.Identity()
        self.head_drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(embed_dim, num_classes) if num_classes > 0 else nn.Identity()

    def _pos_embed(self, x: Tensor) -> Tensor:
        batch, width = x.shape[0], x.shape[-1]
        tokens = [one.expand(batch, -1, -1) for one in (self.cls_token, self.reg_token) if one is not None]
        table: Tensor = self.pos_embed
        if self.dynamic_img_size:
            prefix = 0 if self.no_embed_class else self.num_prefix_tokens
            table = resample_abs_pos_embed(table, x.shape[1:3], self.patch_embed.grid_size, prefix)
            x = x.view(batch, -1, width)
        if self.no_embed_class:
            x = x + table
        x = torch.cat([*tokens, x], dim=1) if tokens else x
        made: Tensor = self.pos_drop(x if self.no_embed_class else x + table)
        return made

    def forward_features(self, x: Tensor) -> Tensor:
        """The tokens after all blocks."""
        x = self.norm_pre(self.patch_drop(self._pos_embed(self.patch_embed(x))))
        made: Tensor = self.norm(self.blocks(x))
        return made

    def get_intermediate_layers(self, x: Tensor, n: Any = 1, reshape: bool = False, norm: bool = False) -> list[Tensor]:
        """The tokens of images, without those before them, after the last `n` blocks, or after those in `n`."""
        high, wide = self.patch_embed.grid_size
        wanted = range(len(self.blocks) - n, len(self.blocks)) if isinstance(n, int) else n
        x = self.norm_pre(self.patch_drop(self._pos_embed(self.patch_embed(x))))
        found: list[Tensor] = []
        for at, block in enumerate(self.blocks):
            x = block(x)
            if at in wanted:
                kept = (self.norm(x) if norm else x)[:, self.num_prefix_tokens :]
                found.append(
                    kept.reshape(-1, high, wide, x.shape[-1]).permute(0, 3, 1, 2).contiguous() if reshape else kept
                )
        return found

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The classes, or with `pre_logits` what they are told from."""
        if self.attn_pool is not None:
            x = self.attn_pool(x[:, self.num_prefix_tokens :])
        elif self.global_pool == "token":
            x = x[:, 0]
        elif self.global_pool:
            tokens = x[:, self.num_prefix_tokens :]
            x = {"avg": lambda: tokens.mean(dim=1), "max": lambda: tokens.amax(dim=1),
                 "avgmax": lambda: 0.5 * (tokens.amax(dim=1) + tokens.mean(dim=1))}[self.global_pool]()  # fmt: skip
        x = self.head_drop(self.fc_norm(x))
        made: Tensor = x if pre_logits else self.head(x)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """The classes of images."""
        return self.forward_head(self.forward_features(x))
