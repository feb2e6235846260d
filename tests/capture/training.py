"""Small modules whose backward pass has something of its own: custom functions, writes through views, many kernels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class _HandWritten(torch.autograd.Function):
    """A low-rank adapter that casts its weights in forward and forgets to in backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, a, b)
        return (x @ a.to(x.dtype)) @ b.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        x, a, b = ctx.saved_tensors
        down = dy @ b.t()
        return down @ a.t(), x.t() @ down, (x @ a).t() @ dy


class Adapter(nn.Module):
    """bfloat16 activations, and an adapter's weights in another dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.base = nn.Linear(8, 8, dtype=torch.bfloat16)
        self.a = nn.Parameter(torch.ones(8, 4, dtype=dtype))
        self.b = nn.Parameter(torch.ones(4, 8, dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The adapter on the base layer's output."""
        return _HandWritten.apply(self.base(x), self.a, self.b)  # type: ignore[no-any-return]


class _Taken(torch.autograd.Function):
    """Takes rows and widens them; each child puts the wide gradient back into narrow rows in another way."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index)
        ctx.like = torch.zeros_like(x)
        return x[index].float()


class _IndexPut(_Taken):
    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        rows = ctx.like.clone()
        rows[ctx.saved_tensors[0]] = grad
        return rows, None


class _IndexAdd(_Taken):
    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return ctx.like.index_add(0, ctx.saved_tensors[0], grad), None


class _ScatterAdd(_Taken):
    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return ctx.like.scatter_add(0, ctx.saved_tensors[0][:, None].expand(-1, 8), grad), None


class Rows(nn.Module):
    """Two rows of a bfloat16 layer's output, through one of the functions above."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.base = nn.Linear(8, 8, dtype=torch.bfloat16)
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Take rows 0 and 2."""
        return self.function.apply(self.base(x), torch.tensor([0, 2]))  # type: ignore[no-any-return]


class Huber(nn.Module):
    """A loss whose forward takes two dtypes and whose backward does not."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(8, 8, dtype=torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The loss against float32 targets."""
        return F.huber_loss(self.base(x), torch.ones(3, 8))


NARROW = {"x": torch.ones(3, 8, dtype=torch.bfloat16)}
REFUSED_BACKWARD = {
    "hand-written adapter": lambda: Adapter(torch.float32),
    "index_put": lambda: Rows(_IndexPut),
    "index_add": lambda: Rows(_IndexAdd),
    "scatter_add": lambda: Rows(_ScatterAdd),
    "huber_loss": Huber,
}
"""Each runs forward on NARROW and is refused in backward."""


class Views(nn.Module):
    """Writes through views of values that need a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(4, 6))
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor) -> Any:
        """Write rows, columns, masks and flat parts, then read in many ways."""
        h = self.norm(x @ self.w.t() @ self.w)
        h[0].mul_(2)
        h[:, 1:3] = h[:, 2:4] * 3
        h.t()[1].add_(h[:, 0])
        h.view(-1)[2:].add_(1)
        h = F.dropout(h, 0.5).clone()
        h.masked_fill_(h > 1, 2.0)
        z = torch.zeros_like(h)
        z[torch.tensor([1, 2])] = h[:2]
        mask = torch.tensor([True, False, True, True, False])
        z[mask] = z[mask] * 2
        strided = torch.as_strided(h, (2, 2), (1, 2), 3).exp()
        return z.masked_scatter(mask[:, None], h[:3].reshape(-1)), strided, h.unfold(1, 2, 2).pow(2), *h.chunk(2, -1)


class Kernels(nn.Module):
    """Layers whose backward is a kernel of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.bag = nn.Embedding(9, 6), nn.EmbeddingBag(9, 6)
        self.lstm, self.gru = nn.LSTM(6, 6, batch_first=True), nn.GRU(6, 6)
        self.layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
        self.image = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.GroupNorm(1, 2), nn.ConvTranspose2d(2, 1, 3))

    def forward(self, ids: torch.Tensor, pixels: torch.Tensor) -> Any:
        """A bit of everything."""
        e = self.embed(ids)
        h, g = self.lstm(e)[0], self.gru(e)[0]
        spoken = g.transpose(0, 1).log_softmax(-1)
        ctc = F.ctc_loss(spoken, torch.ones(2, 2, dtype=torch.long), torch.tensor([5, 5]), torch.tensor([2, 2]))
        grid = F.grid_sample(self.image(pixels), torch.zeros(1, 4, 4, 2), align_corners=False)
        read = (
            e.topk(2).values,
            e.max(-1).values,
            e.sort(-1).values,
            e.cumsum(1),
            e.std(),
            F.pad(e, (1, 1)),
            e.roll(1),
        )
        return h, self.bag(ids), ctc, grid, self.layer(e), torch.cdist(h, g), F.cosine_similarity(h, g), *read


KERNELS = {"ids": torch.tensor([[1, 2, 3, 4, 5], [2, 3, 4, 5, 6]]), "pixels": torch.ones(1, 1, 12, 12)}
