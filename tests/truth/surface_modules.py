"""Modules that call higher-order operators, nested tensors and function transforms."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.masked import masked_tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts


class One(nn.Module):
    """Holds one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)


class Cond(One):
    def forward(self, x: Any) -> Any:
        return torch.cond(x.sum() > 0, lambda y: self.layer(y).sin(), lambda y: self.layer(y).cos(), (x,))


class CondKnown(One):
    def forward(self, x: Any) -> Any:
        few = torch.tensor(x.shape[0]) < 9
        weight = self.layer.weight.double()
        return torch.cond(few, lambda y: self.layer(y).float(), lambda y: torch.mm(y, weight).float(), (x,))


class CondTwoDtypes(One):
    def forward(self, x: Any) -> Any:
        return torch.cond(x.sum() > 0, lambda y: self.layer(y), lambda y: self.layer(y).double(), (x,))


class While(One):
    def forward(self, x: Any) -> Any:
        return while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, self.layer(y)), (torch.tensor(0), x))


class WhileFloat(One):
    def forward(self, x: Any) -> Any:
        return while_loop(lambda y: y.abs().sum() > 1e-3, lambda y: (self.layer(y) * 1e-4,), (x,))


class Scan(One):
    def forward(self, x: Any) -> Any:
        return scan(lambda c, row: (torch.tanh(self.layer(c)) + row, c * 2), torch.zeros(8), x)


class ScanLearned(One):
    """Begins with a parameter, as older torch asks for a carry that needs a gradient throughout."""

    def forward(self, x: Any) -> Any:
        return scan(lambda c, row: (torch.tanh(self.layer(c)) + row, c * 2), self.layer.bias, x)


class Map(One):
    def forward(self, x: Any) -> Any:
        from functorch.experimental.control_flow import map as mapped

        return mapped(lambda row, scale: self.layer(row) * scale, x, torch.ones(8))


class AssociativeScan(One):
    def forward(self, x: Any) -> Any:
        return associative_scan(lambda a, b: a * b, self.layer(x), 0, combine_mode="generic")


class Flex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(16, 16)

    def forward(self, q: Any, k: Any, v: Any) -> Any:
        return flex_attention(self.query(q), k, v, score_mod=lambda score, b, h, i, j: score + (i - j) * 0.1)


class FlexMasked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(16, 16)

    def forward(self, q: Any, k: Any, v: Any) -> Any:
        mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 16, 16, device="cpu")
        return flex_attention(self.query(q), k, v, block_mask=mask)


class Checkpoint(One):
    def forward(self, x: Any) -> Any:
        return checkpoint(lambda y: self.layer(y).relu(), x, use_reentrant=False)


class CheckpointReentrant(One):
    def forward(self, x: Any) -> Any:
        return checkpoint(lambda y: self.layer(y).relu(), x, use_reentrant=True)


class CheckpointSelective(One):
    def forward(self, x: Any) -> Any:
        kept = partial(create_selective_checkpoint_contexts, [torch.ops.aten.addmm.default])
        return checkpoint(lambda y: self.layer(y).relu(), x, use_reentrant=False, context_fn=kept)


class Pointwise(One):
    def forward(self, x: Any) -> Any:
        return self.layer(x) * 2


class Jagged(One):
    def forward(self, a: Any, b: Any) -> Any:
        both = torch.nested.nested_tensor([a, b], layout=torch.jagged)
        return torch.nested.to_padded_tensor(self.layer(both).sin() + both, 0.0)


class JaggedAttention(One):
    def forward(self, a: Any, b: Any) -> Any:
        both = torch.nested.as_nested_tensor([a, b], layout=torch.jagged)
        heads = self.layer(both).unflatten(-1, (2, 4)).transpose(1, 2)
        other = both.unflatten(-1, (2, 4)).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(heads, other, other).transpose(1, 2).flatten(-2).values()


class Strided(One):
    def forward(self, a: Any, b: Any) -> Any:
        both = torch.nested.as_nested_tensor([a, b])
        return torch.nested.to_padded_tensor(self.layer(both), 0.0)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Any, mask: Any) -> Any:
        return self.encoder(x, src_key_padding_mask=mask)


class Vmap(One):
    def forward(self, x: Any) -> Any:
        return torch.vmap(lambda row: self.layer(row).relu())(x)


class VmapBoth(One):
    def forward(self, x: Any) -> Any:
        return torch.vmap(lambda a, b: torch.mm(a[None] * b, self.layer.weight), in_dims=(0, None))(x, x)


class Grad(One):
    def forward(self, x: Any) -> Any:
        return torch.func.grad(lambda y: self.layer(y).pow(2).sum())(x)


class PerSample(One):
    def forward(self, x: Any) -> Any:
        weights = dict(self.layer.named_parameters())

        def loss(given: Any, row: Any) -> Any:
            return torch.func.functional_call(self.layer, given, (row,)).pow(2).mean()

        return torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(weights, x)


class Jvp(One):
    def forward(self, x: Any) -> Any:
        return torch.func.jvp(lambda y: self.layer(y).sin(), (x,), (torch.ones_like(x),))


class Vjp(One):
    def forward(self, x: Any) -> Any:
        result, pull = torch.func.vjp(lambda y: self.layer(y).sin(), x)
        return result, pull(torch.ones_like(result))


class Jacrev(One):
    def forward(self, x: Any) -> Any:
        return torch.func.jacrev(lambda y: self.layer(y).sin())(x)


class Jacfwd(One):
    def forward(self, x: Any) -> Any:
        return torch.func.jacfwd(lambda y: self.layer(y).sin())(x)


class Hessian(One):
    def forward(self, x: Any) -> Any:
        return torch.func.hessian(lambda y: self.layer(y).pow(3).sum())(x)


class Functional(One):
    def forward(self, x: Any) -> Any:
        doubled = {name: value * 2 for name, value in self.layer.named_parameters()}
        return torch.func.functional_call(self.layer, doubled, (x,))


class Ensemble(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])

    def forward(self, x: Any) -> Any:
        weights = {
            name: torch.stack([layer.get_parameter(name) for layer in self.layers]) for name in ("weight", "bias")
        }
        return torch.vmap(lambda given, y: torch.func.functional_call(self.layers[0], given, (y,)), (0, None))(
            weights, x
        )


class Dual(One):
    def forward(self, x: Any) -> Any:
        with forward_ad.dual_level():
            return tuple(forward_ad.unpack_dual(self.layer(forward_ad.make_dual(x, torch.ones_like(x))).sin()))


class Jacobian(One):
    def forward(self, x: Any) -> Any:
        return torch.autograd.functional.jacobian(lambda y: self.layer(y).sin(), x)


class Linearize(One):
    def forward(self, x: Any) -> Any:
        return torch.func.linearize(lambda y: self.layer(y).sin(), x)[1](torch.ones_like(x))


class VmapDropout(One):
    def forward(self, x: Any) -> Any:
        return torch.vmap(lambda row: nn.functional.dropout(row[None] @ self.layer.weight), randomness="different")(x)


class VmapCond(One):
    def forward(self, x: Any) -> Any:
        return torch.vmap(lambda y: torch.cond(y.sum() > 0, lambda z: z.sin(), lambda z: z.cos(), (y,)))(self.layer(x))


class Masked(One):
    def forward(self, x: Any) -> Any:
        whole = torch.ones(3, 8, dtype=torch.bool)
        return (masked_tensor(self.layer(x), whole) * 2).sum(-1).get_data()
