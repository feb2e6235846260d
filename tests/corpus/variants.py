"""Variants of the reported faults, as files with `build()`: other dtypes, other operators, both directions."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent
from typing import Final

from analyzer.ir.plan import Plan, Training, Wrap
from tests.corpus.case import CPU


@dataclass(frozen=True)
class Variant:
    """A file with a fault, and the set-up under which it shows."""

    code: str
    plan: Plan = CPU
    steps: str = ""


_HEAD: Final = """
import torch
import torch.nn.functional as F
from torch import nn

from tests.corpus.stand_in_kernels import flash, fused_rms_norm

B, H, D = torch.bfloat16, torch.float16, torch.float64
randn = torch.randn

"""
_NET: Final = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
{init}

    def forward(self, {names}):
{forward}

def build():
    return Net(){cast}, {{{inputs}}}
"""


def _net(
    init: str, forward: str, *, before: str = "", cast: str = "", plan: Plan = CPU, steps: str = "", **inputs: str
) -> Variant:
    given = ", ".join(f'"{name}": {value}' for name, value in inputs.items())
    body = _NET.format(
        init=indent(init.strip(), " " * 8), forward=indent(forward.strip(), " " * 8), names=", ".join(inputs),
        cast=cast, inputs=given,
    )  # fmt: skip
    return Variant(_HEAD + before + body, plan, steps)


_TRAIN: Final = Plan(device="cpu", train=True)
_AUTOCAST: Final = Plan(device="cpu", autocast="cpu:bfloat16", scope="run")
VARIANTS: Final[dict[str, Variant]] = {
    "a: a convolution kept wide in half": _net(
        "self.stem, self.out = nn.Conv1d(4, 8, 3, padding=1), nn.Linear(8, 8).half()",
        "y = self.stem(x)\nreturn self.out(y.mT)",
        x="randn(1, 4, 6).half()",
    ),
    "a: a table in float64": _net(
        "self.register_buffer('table', torch.linspace(0, 1, 8, dtype=D))\nself.out = nn.Linear(8, 8)",
        "return self.out(x + self.table)",
        x="randn(2, 8)",
    ),
    "a: a narrow parameter in a wide model": _net(
        "self.scale = nn.Parameter(randn(8, 8).half())\nself.out = nn.Linear(8, 8)",
        "return self.out(x @ self.scale)",
        x="randn(2, 8)",
    ),
    "a: query tokens into attention": _net(
        "self.query = nn.Parameter(randn(1, 3, 8))\nself.attn = nn.MultiheadAttention(8, 2, batch_first=True).to(B)",
        "query = self.query.expand(x.shape[0], -1, -1)\nreturn self.attn(query, x, x, need_weights=False)[0]",
        x="randn(2, 5, 8).to(B)",
    ),
    "a: an embedding kept wide": _net(
        "self.embed, self.out = nn.Embedding(9, 8), nn.Linear(8, 8).to(B)",
        "x = self.embed(ids)\nreturn self.out(x)",
        ids="torch.tensor([[1, 2, 3]])",
    ),
    "a: a recurrent layer beside a wide norm": _net(
        "self.norm, self.rnn = nn.LayerNorm(8), nn.GRU(8, 8, batch_first=True).to(B)",
        "x = self.norm(x.float())\nreturn self.rnn(x)[0]",
        x="randn(1, 4, 8).to(B)",
    ),
    "b: angles in float32 into a batched product": _net(
        "self.proj = nn.Linear(8, 8).half()",
        """
angles = torch.arange(x.shape[1], dtype=torch.float32)[:, None] * torch.logspace(0, -2, 8)
q = self.proj(x) * angles.cos() + self.proj(x) * angles.sin()
return torch.baddbmm(self.proj(x), q.mT.mT, randn(1, 8, 8).half())
""",
        x="randn(1, 4, 8).half()",
    ),
    "b: a bias of positions by einsum": _net(
        "self.proj = nn.Linear(8, 8).to(B)",
        """
distance = (torch.arange(4)[None] - torch.arange(4)[:, None]).float().abs().neg().exp()
return torch.einsum("bij,bjd->bid", distance[None], self.proj(x))
""",
        x="randn(1, 4, 8).to(B)",
    ),
    "b: a timestep in float64": _net(
        "self.time = nn.Linear(8, 8)",
        """
freqs = torch.logspace(0, -3, 4, dtype=torch.float64)
angles = t[:, None] * freqs
return x + self.time(torch.cat([angles.sin(), angles.cos()], -1))
""",
        x="randn(2, 8)",
        t="torch.tensor([3.0, 7.0])",
    ),
    "b: a mask made in float32 for attention": _net(
        "self.qkv = nn.Linear(8, 24).to(B)",
        """
q, k, v = self.qkv(x)[:, None].chunk(3, -1)
mask = torch.zeros(4, 4, dtype=torch.float32).masked_fill(torch.ones(4, 4).triu(1).bool(), -1e4)
return F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(torch.float64))
""",
        x="randn(1, 4, 8).to(B)",
    ),
    "b: coordinates into a three-dimensional grid": _net(
        "self.proj = nn.Conv3d(2, 2, 1).double()",
        """
line = torch.linspace(-1, 1, 3)
grid = torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1)[None]
return F.grid_sample(self.proj(x), grid, align_corners=False)
""",
        x="randn(1, 2, 4, 4, 4).double()",
    ),
    "c: a softmax in float32": _net(
        "self.qk, self.v = nn.Linear(8, 16).half(), nn.Linear(8, 8).half()",
        """
q, k = self.qk(x).chunk(2, -1)
weights = F.softmax(q @ k.mT, dim=-1, dtype=torch.float32)
return weights @ self.v(x)
""",
        x="randn(1, 4, 8).half()",
    ),
    "c: a norm that does not cast back": _net(
        "self.weight = nn.Parameter(torch.ones(8).to(B))\nself.out = nn.Linear(8, 8).to(B)",
        """
wide = x.float()
wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
return self.out(self.weight * wide)
""",
        x="randn(2, 8).to(B)",
    ),
    "c: experts added by index": _net(
        "self.expert = nn.Linear(8, 8).to(B)",
        """
total = torch.zeros(x.shape, dtype=torch.float32)
index = torch.tensor([0, 2])
total.index_add_(0, index, self.expert(x[index]))
return total.to(x.dtype)
""",
        x="randn(4, 8).to(B)",
    ),
    "c: routing weights scattered": _net(
        "self.gate = nn.Linear(8, 4).to(B)",
        """
weights, index = self.gate(x).float().softmax(-1).topk(2)
table = torch.zeros(x.shape[0], 4, dtype=x.dtype)
table.scatter_(1, index, weights)
return table
""",
        x="randn(3, 8).to(B)",
    ),
    "c: the lowest number, filled in place": _net(
        "self.qk = nn.Linear(8, 16).half()",
        """
q, k = self.qk(x).chunk(2, -1)
scores = q @ k.mT
scores.masked_fill_(mask, -1e9)
return scores.softmax(-1)
""",
        x="randn(1, 4, 8).half()",
        mask="torch.ones(4, 4).triu(1).bool()",
    ),
    "c: the lowest number by its name": _net(
        "self.qk = nn.Linear(8, 16).half()",
        """
q, k = self.qk(x).chunk(2, -1)
lowest = torch.finfo(torch.float32).min
return (q @ k.mT).masked_fill(mask, value=lowest).softmax(-1)
""",
        x="randn(1, 4, 8).half()",
        mask="torch.ones(4, 4).triu(1).bool()",
    ),
    "d: pixels in bytes": _net(
        "self.patch = nn.Conv2d(3, 4, 2, stride=2)",
        "return self.patch(pixels)",
        pixels="torch.randint(0, 255, (1, 3, 4, 4), dtype=torch.uint8)",
    ),
    "d: an image and a text in float32": _net(
        "self.image, self.text, self.both = nn.Linear(8, 8), nn.Linear(6, 8), nn.Bilinear(8, 8, 4)",
        "return self.both(self.image(image), self.text(text))",
        cast=".half()",
        image="randn(2, 8)",
        text="randn(2, 6)",
    ),
    "d: narrow features into a wide model": _net(
        "self.conv = nn.Conv1d(4, 4, 3)",
        "return self.conv(x)",
        x="randn(1, 4, 8).to(B)",
    ),
    "d: two halves between parts": _net(
        "self.vision, self.text = nn.Linear(8, 8).half(), nn.Linear(8, 8).to(B)",
        "return self.text(self.vision(x))",
        x="randn(2, 8).half()",
    ),
    "d: labels in float64": _net(
        "self.out = nn.Linear(8, 1)",
        "return F.binary_cross_entropy(self.out(x).sigmoid().squeeze(-1), labels)",
        x="randn(3, 8)",
        labels="torch.tensor([0.0, 1.0, 1.0]).double()",
    ),
    "d: a lerp of two dtypes": _net(
        "self.proj = nn.Linear(8, 8).to(B)",
        "return torch.lerp(self.proj(x), other, 0.25)",
        x="randn(2, 8).to(B)",
        other="randn(2, 8)",
    ),
    "e: an index put under autocast": _net(
        "self.out = nn.Linear(8, 8)",
        """
y = torch.empty_like(x)
y[mask] = self.out(x[mask])
y[~mask] = x[~mask]
return y
""",
        plan=_AUTOCAST,
        x="randn(4, 8)",
        mask="torch.tensor([True, False, True, False])",
    ),
    "e: autocast off around a part": _net(
        "self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)",
        """
y = self.a(x)
with torch.autocast("cpu", enabled=False):
    return self.b(y)
""",
        plan=_AUTOCAST,
        x="randn(2, 8)",
    ),
    "e: a fused norm under autocast": _net(
        "self.a, self.weight = nn.Linear(8, 8), nn.Parameter(torch.ones(8))",
        "return fused_rms_norm(self.a(x), self.weight)",
        plan=_AUTOCAST,
        x="randn(2, 8)",
    ),
    "e: flash attention of a wide model": _net(
        "self.q, self.kv, self.out = nn.Linear(8, 8), nn.Linear(8, 16), nn.Linear(8, 8)",
        "k, v = self.kv(x).chunk(2, -1)\nx = x + self.out(flash(self.q(x), k, v))\nreturn x",
        x="randn(1, 4, 8)",
    ),
    "f: an adapter in bfloat16 on a base in half": _net(
        "self.base, self.a, self.b = nn.Linear(8, 8).half(), nn.Linear(8, 2).to(B), nn.Linear(2, 8).to(B)",
        "return self.base(x) + self.b(self.a(x))",
        x="randn(2, 8).half()",
    ),
    "f: a merged weight": _net(
        "self.weight, self.a, self.b = (nn.Parameter(randn(8, 8).to(B)), nn.Parameter(randn(2, 8)),"
        " nn.Parameter(randn(8, 2)))",
        "return F.linear(x, self.weight + self.b @ self.a)",
        x="randn(2, 8).to(B)",
    ),
    "f: a float8 weight in a product": _net(
        "self.weight = nn.Parameter(randn(8, 8).to(torch.float8_e4m3fn), requires_grad=False)",
        "return F.linear(x, self.weight)",
        x="randn(2, 8).to(B)",
    ),
    "f: a factor in its own backward": Variant(
        _HEAD
        + """
class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return F.linear(x, w.to(x.dtype))

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        return torch.mm(grad, w), None

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8).half()
        self.register_buffer("w", randn(4, 8))

    def forward(self, x):
        return Scaled.apply(self.fc(x), self.w)

def build():
    return Net(), {"x": randn(2, 8).half()}
""",
        _TRAIN,
    ),
    "g: a cache that is copied into by index": _net(
        "self.k = nn.Linear(8, 8).to(B)\nself.register_buffer('cache', torch.zeros(6, 8))",
        "self.cache.index_copy_(0, at, self.k(x))\nreturn self.cache[: int(at.max()) + 1].sum(0)",
        x="randn(2, 8).to(B)",
        at="torch.tensor([0, 1])",
    ),
    "g: a cache of the caller": _net(
        "self.k = nn.Linear(8, 8)",
        "cache.index_copy_(0, torch.arange(2), self.k(x))\nreturn cache.sum(0)",
        x="randn(2, 8)",
        cache="torch.zeros(4, 8).half()",
    ),
    "g: a cache scattered into": _net(
        "self.k = nn.Linear(8, 8).half()\nself.cache = torch.zeros(4, 8)",
        "self.cache.scatter_(0, at, self.k(x))\nreturn self.cache * 2",
        x="randn(2, 8).half()",
        at="torch.tensor([[1] * 8, [3] * 8])",
    ),
    "g: a narrow state in a wide model": _net(
        "self.i, self.h = nn.Linear(8, 8), nn.Linear(8, 8)",
        """
state = torch.zeros(x.shape[0], 8, dtype=torch.bfloat16)
for step in x.unbind(1):
    state = torch.tanh(self.i(step) + self.h(state))
return state
""",
        x="randn(2, 3, 8)",
    ),
    "g: cached keys joined to new ones": _net(
        "self.qkv = nn.Linear(8, 24).to(B)",
        """
q, k, v = self.qkv(x).chunk(3, -1)
k, v = torch.cat([past_k, k], 1), torch.cat([past_v, v], 1)
return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])
""",
        x="randn(1, 2, 8).to(B)",
        past_k="randn(1, 3, 8)",
        past_v="randn(1, 3, 8)",
    ),
    "g: written through an out argument": _net(
        "self.a, self.b = nn.Parameter(randn(8, 8).to(B)), nn.Parameter(randn(8, 8))",
        "out = torch.empty(2, 8, dtype=torch.bfloat16)\ntorch.mm(x, self.b, out=out)\nreturn out @ self.a",
        x="randn(2, 8).to(B)",
    ),
    "g: a state that a mask is scattered into": _net(
        "self.k = nn.Linear(8, 8).to(B)\nself.register_buffer('state', torch.zeros(2, 8))",
        "self.state.masked_scatter_(mask, self.k(x))\nreturn self.state * 1",
        x="randn(2, 8).to(B)",
        mask="torch.tensor([[True] * 8, [False] * 8])",
    ),
    "g: a count that is added to by index": _net(
        "self.k = nn.Linear(8, 8).half()\nself.register_buffer('seen', torch.zeros(4, 8))",
        "self.seen.index_add_(0, at, self.k(x))\nreturn self.seen + 0",
        x="randn(2, 8).half()",
        at="torch.tensor([1, 1])",
    ),
    "g: a product into an attribute": _net(
        "self.w = nn.Parameter(randn(8, 8))\nself.register_buffer('held', torch.zeros(2, 8, dtype=B))",
        "torch.mm(x, self.w.to(B), out=self.held)\nself.held @= self.w\nreturn self.held * 1",
        x="randn(2, 8).to(B)",
    ),
    "g: an attribute written by a slice of indices": _net(
        "self.k = nn.Linear(8, 8)\nself.register_buffer('past', torch.zeros(1, 4, 8, dtype=H))",
        "self.past[:, at] = self.k(x)\nreturn self.past.sum(1)",
        x="randn(1, 2, 8)",
        at="torch.tensor([3, 0])",
    ),
    "g: a product added in place": _net(
        "self.a = nn.Parameter(randn(8, 8).to(B))",
        "total = torch.zeros(2, 8)\ntotal.addmm_(x, self.a)\nreturn total",
        x="randn(2, 8).to(B)",
    ),
    "h: a wide head in a flat unit": _net(
        "self.body, self.head = nn.Linear(8, 8).half(), nn.Linear(8, 2)",
        "return self.head(self.body(x).to(self.head.weight.dtype))",
        plan=Plan(device="cpu", train=True, training=Training(fsdp=Wrap(1))),
        x="randn(2, 8).half()",
    ),
    "h: a gradient written by index": Variant(
        _HEAD
        + """
class Picked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, index):
        ctx.index, ctx.like = index, x
        return x[index].float()

    @staticmethod
    def backward(ctx, grad):
        full = torch.zeros_like(ctx.like)
        full[ctx.index] = grad
        return full, None

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 8).to(B)

    def forward(self, x):
        return Picked.apply(self.fc(x), torch.tensor([0, 2])).square().mean()

def build():
    return Net(), {"x": randn(4, 8).to(B)}
""",
        _TRAIN,
    ),
    "h: weights of a loss": _net(
        "self.fc = nn.Linear(8, 4).to(B)\nself.register_buffer('weights', torch.rand(4))",
        "return F.cross_entropy(self.fc(x), target, weight=self.weights)",
        plan=_TRAIN,
        x="randn(2, 8).to(B)",
        target="torch.tensor([1, 3])",
    ),
    "i: a factorisation in half": _net(
        "self.fc = nn.Linear(8, 4).half()",
        "y = self.fc(x)\nreturn torch.linalg.inv(y.mT @ y + torch.eye(4, dtype=y.dtype))",
        x="randn(8, 8).half()",
    ),
    "i: distances in bfloat16": _net(
        "self.fc = nn.Linear(8, 8).to(B)",
        "y = self.fc(x)\nreturn self.fc(torch.cdist(y, y) @ y)",
        x="randn(4, 8).to(B)",
    ),
    "i: a transform in bfloat16": _net(
        "self.fc = nn.Linear(8, 8).to(B)",
        "y = torch.fft.rfft(self.fc(x), dim=-1).abs()\nreturn y.sum(-1)",
        x="randn(4, 8).to(B)",
    ),
    "i: complex numbers from half": _net(
        "self.q = nn.Linear(8, 8).to(B)",
        """
pairs = self.q(x).reshape(1, 4, 4, 2)
angles = torch.arange(4).float()[:, None] * torch.ones(4)
turned = torch.view_as_complex(pairs) * torch.polar(torch.ones_like(angles), angles)
return torch.view_as_real(turned).flatten(2).to(x.dtype)
""",
        x="randn(1, 4, 8).to(B)",
    ),
    "i: polar of half": _net(
        "self.q = nn.Linear(8, 4).to(B)",
        "angles = self.q(x)\nreturn torch.polar(torch.ones_like(angles), angles).real",
        x="randn(1, 4, 8).to(B)",
    ),
    "i: a bias for attention in float32": _net(
        "self.qkv, self.bias = nn.Linear(8, 24).half(), nn.Parameter(randn(4, 4).to(B))",
        """
q, k, v = self.qkv(x)[:, None].chunk(3, -1)
return F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)
""",
        x="randn(1, 4, 8).half()",
    ),
    "j: a matrix of NumPy": _net(
        "self.fc = nn.Linear(8, 8)",
        "import numpy as np\nrotation = torch.from_numpy(np.eye(8))\nreturn self.fc(x) @ rotation",
        x="randn(2, 8)",
    ),
    "j: a default dtype that was left": _net(
        "torch.set_default_dtype(D)\nself.late = nn.Linear(8, 8)\ntorch.set_default_dtype(torch.float32)\n"
        "self.fc = nn.Linear(8, 8)",
        "return self.late(self.fc(x))",
        x="randn(2, 8)",
    ),
    "j: a float64 target through a cast": _net(
        "self.fc = nn.Linear(8, 8)",
        "weights = (x.double() / x.double().sum()).softmax(-1)\nreturn weights @ self.fc.weight.T",
        x="randn(2, 8)",
    ),
    "k: everything wide but one layer": _net(
        "self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8).to(B), nn.Linear(8, 8)",
        "return self.c(self.b(self.a(x)))",
        x="randn(2, 8)",
    ),
}
