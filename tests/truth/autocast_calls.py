"""Calls of operators that no OpInfo reaches, and the mixtures of dtypes in which a call is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._pytree import tree_map

from analyzer.capture.autocast import policies

Sample = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
VARIANTS = ("float32", "lower", "first lower", "first float32", "float64")


def calls(device: str, lower: str) -> Iterator[tuple[str, Sample]]:
    """Calls of the operators that no OpInfo reaches."""
    x, image, weight, b = torch.ones(2, 4), torch.ones(1, 2, 5, 5), torch.ones(3, 2, 3, 3), torch.ones(3)
    gates, bias = torch.ones(12, 4), torch.ones(12)
    aten = torch.ops.aten
    convolution = (image, weight, b, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, False, False, True)
    cell = (x, x, gates[:4], gates[:4], bias[:4], bias[:4])
    made: list[tuple[Any, tuple[Any, ...]]] = [
        (aten._convolution.default, (*convolution, True)),
        (aten._convolution.deprecated, convolution),
        (aten.conv_tbc.default, (torch.ones(5, 1, 4), torch.ones(3, 4, 2), torch.ones(2), 0)),
        (aten.conv3d.default, (torch.ones(1, 2, 3, 3, 3), torch.ones(3, 2, 1, 1, 1), b)),
        (aten.chain_matmul.default, ([torch.ones(2, 3), torch.ones(3, 2), torch.ones(2, 3)],)),
        (aten.frobenius_norm.dim, (x, [1])),
        (aten.nuclear_norm.default, (x,)),
        (aten.nuclear_norm.dim, (x, [0, 1])),
        (aten.linalg_matrix_norm.default, (x, 2)),
        (aten.norm.Scalar, (x,)),
        (aten.pow.Scalar, (2, x)),
        (aten.prod.dim_int, (x, 1)),
        (aten.grid_sampler.default, (image, torch.ones(1, 3, 3, 2), 0, 0, False)),
        (aten.rnn_tanh_cell.default, cell),
        (aten.rnn_relu_cell.default, cell),
        (aten.gru_cell.default, (x, x, gates, gates, bias, bias)),
        (aten.lstm_cell.default, (x, [x, x], torch.ones(16, 4), torch.ones(16, 4), torch.ones(16), torch.ones(16))),
        (aten._thnn_fused_gru_cell.default, (torch.ones(2, 12), torch.ones(2, 12), x)),
        (aten._thnn_fused_lstm_cell.default, (torch.ones(2, 16), torch.ones(2, 16), x)),
        (aten.cudnn_convolution.default, (image, weight, [0, 0], [1, 1], [1, 1], 1, False, False, True)),
        (aten.cudnn_convolution_transpose.default,
         (image, weight[:2], [0, 0], [0, 0], [1, 1], [1, 1], 1, False, False, True)),
        (aten._scaled_dot_product_flash_attention.default, (torch.ones(1, 2, 4, 8),) * 3),
        (aten.nll_loss2d.default, (image, torch.zeros(1, 5, 5, dtype=torch.long), None, 1, -100)),
        (aten.binary_cross_entropy.default, (x, x)),
    ]  # fmt: skip
    known = {str(op) for op in policies.overloads(device)}
    for op, args in made:
        for variant in VARIANTS:
            if str(op) in known:
                yield f"{op} {variant}", (op, in_variant(args, variant, lower), {})


def in_variant(value: Any, variant: str, lower: str) -> Any:
    """The same arguments with float tensors cast."""
    low = getattr(torch, lower)
    count = iter(range(1000))

    def dtype() -> torch.dtype:
        first = next(count) == 0
        table = {"float32": torch.float32, "lower": low, "float64": torch.float64}
        return table.get(variant) or (low if first == (variant == "first lower") else torch.float32)

    return tree_map(lambda x: x.to(dtype()) if _is_float(x) else x, value)


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()
