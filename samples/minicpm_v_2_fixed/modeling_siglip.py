"""The SigLIP so400m tower, in timm's manner: no class token, images of any size in whole patches."""

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, width * 3)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        x = F.scaled_dot_product_attention(query, key, value)
        return self.proj(x.transpose(1, 2).reshape(batch, length, width))


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """One vector per patch, still laid out as a grid: [batch, rows, columns, width]."""

    def __init__(self, patch_size, width):
        super().__init__()
        self.proj = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size)

    def forward(self, pixels):
        return self.proj(pixels).permute(0, 2, 3, 1)


class VisionTransformer(nn.Module):
    def __init__(self, image_size, patch_size, width, hidden, depth, heads):
        super().__init__()
        self.grid = image_size // patch_size
        self.patch_embed = PatchEmbed(patch_size, width)
        self.pos_embed = nn.Parameter(torch.randn(1, self.grid**2, width) * 0.02)
        self.blocks = nn.ModuleList([Block(width, heads, hidden) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def positions(self, rows, columns):
        """The position table, stretched to this image; in float32, because the filter is not made for less."""
        table = self.pos_embed
        if (rows, columns) == (self.grid, self.grid):
            return table
        table = table.float().reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        table = F.interpolate(table, size=(rows, columns), mode="bicubic", antialias=True)
        table = table.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)
        return table.to(self.pos_embed.dtype)

    def forward(self, pixels):
        x = self.patch_embed(pixels)
        _, rows, columns, _ = x.shape
        x = x.flatten(1, 2) + self.positions(rows, columns)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
