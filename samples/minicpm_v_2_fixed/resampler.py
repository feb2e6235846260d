"""The perceiver resampler: a fixed number of learned queries read an image of any size."""

import math

import numpy as np
import torch
from torch import nn


def sincos_1d(width, positions):
    """[M] positions -> [M, width], half sines and half cosines."""
    rates = 1.0 / 10000 ** (np.arange(width // 2, dtype=np.float32) / (width / 2.0))
    angles = np.outer(positions.reshape(-1), rates)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def sincos_2d(width, rows, columns):
    """[rows * columns, width]: half of each vector tells the column, half the row."""
    down, across = np.meshgrid(
        np.arange(rows, dtype=np.float32), np.arange(columns, dtype=np.float32), indexing="ij"
    )
    return np.concatenate([sincos_1d(width // 2, across), sincos_1d(width // 2, down)], axis=1)


class Resampler(nn.Module):
    """One cross-attention layer from `side * side` queries to the patches of an image."""

    def __init__(self, side, embed_dim, heads, kv_dim, cast_query_positions=False):
        super().__init__()
        self.embed_dim = embed_dim
        self.cast_query_positions = cast_query_positions

        self.pos_embed = nn.Parameter(
            torch.from_numpy(sincos_2d(embed_dim, side, side)).float()
        ).requires_grad_(False)

        self.query = nn.Parameter(torch.randn(side * side, embed_dim) * 0.02)
        self.kv_proj = nn.Linear(kv_dim, embed_dim, bias=False)
        self.attn = nn.MultiheadAttention(embed_dim, heads)
        self.ln_q = nn.LayerNorm(embed_dim, eps=1e-6)
        self.ln_kv = nn.LayerNorm(embed_dim, eps=1e-6)
        self.ln_post = nn.LayerNorm(embed_dim, eps=1e-6)
        self.proj = nn.Parameter(embed_dim**-0.5 * torch.randn(embed_dim, embed_dim))

    def forward(self, x, grid):
        """Patches [batch, rows * columns, kv_dim] and (rows, columns) -> [batch, queries, embed_dim]."""
        x = self.ln_kv(self.kv_proj(x)).permute(1, 0, 2)
        key = x + self.key_positions(x, *grid).unsqueeze(1)

        query = self.ln_q(self.query).unsqueeze(1).repeat(1, x.shape[1], 1)
        query = query + self.query_positions(query).unsqueeze(1)

        out = self.attn(query, key, x)[0]
        return self.ln_post(out.permute(1, 0, 2)) @ self.proj

    def key_positions(self, x, rows, columns):
        return torch.from_numpy(sincos_2d(self.embed_dim, rows, columns)).float().to(device=x.device, dtype=x.dtype)

    def query_positions(self, query):
        if self.cast_query_positions:
            return self.pos_embed.to(query.dtype)
        return self.pos_embed


def make_resampler(config):
    return Resampler(
        side=math.isqrt(config.query_num),
        embed_dim=config.hidden_size,
        heads=config.hidden_size // 128,
        kv_dim=config.vision_hidden_size,
        cast_query_positions=config.cast_query_positions,
    )
