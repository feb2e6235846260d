"""Honest programs of many kinds are read without trust, and are the programs that torch reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import torch
from torch import nn

from analyzer.actions.trace import run_trace
from analyzer.ir.plan import Plan
from analyzer.loaders.exported import checked
from analyzer.loaders.request import ModelRequest

ROWS: Final = torch.export.Dim("rows", min=3, max=64)
X: Final = torch.ones(4, 4)


class Of(nn.Module):
    """A module around a function, with one layer under an odd name."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"en-fr": nn.Linear(4, 4), "train mode": nn.Linear(4, 4)})
        self.function = function

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self.layers["en-fr"], *args, **kwargs)


def _autocast(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        return layer(x)  # type: ignore[no-any-return]


def _items(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    count = x.to(torch.long).sum().item()
    torch._check(count >= 0)
    torch._check(count < 100)
    return torch.zeros(count) + x.nonzero().shape[0]


def _sizes(layer: nn.Module, x: torch.Tensor) -> Any:
    rows = x.shape[0]
    return x.reshape(rows // 1 * 4), torch.arange(max(rows, 3) * 2), x * rows**0.5, nn.functional.pad(x, (0, rows % 2))


PROGRAMS: Final[dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]]] = {
    "infinities": (lambda layer, x: x.masked_fill(x > 0, float("-inf")).clamp(max=float("inf")), (X,), {}),
    "a keyword that is None": (lambda layer, x, q: x if q is None else q, (X,), {"q": None}),
    "constants": (lambda layer, x, n, f, b, t, z: x * n + f if b else x, (X, 2, 0.5, True, "text", None), {}),
    "keys of a dict": (lambda layer, d: {"ö ä": d["ö ä"], "k": [d["k"], (d["k"],)]}, ({"ö ä": X, "k": X},), {}),
    "autocast and no_grad": (_autocast, (X,), {}),
    "sizes that are not known": (_items, (X,), {}),
    "strings of an operator": (lambda layer, x: (nn.functional.gelu(x, approximate="tanh"),
                                                 torch.einsum("ij,jk->ik", x, x)), (X,), {}),
    "cond": (lambda layer, x: torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,)), (X,), {}),
    "vmap": (lambda layer, x: torch.vmap(lambda row: row.sin())(x), (X,), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_honest_program_is_read_without_trust(name: str, tmp_path: Path) -> None:
    function, args, kwargs = PROGRAMS[name]
    try:
        program = torch.export.export(Of(function), args, kwargs, strict=False)
    except RuntimeError as error:  # of an older torch
        pytest.skip(str(error))
    torch.export.save(program, tmp_path / "p.pt2")
    _is_whole(tmp_path / "p.pt2")


def test_sizes_that_are_symbols(tmp_path: Path) -> None:
    program = torch.export.export(Of(_sizes), (X,), dynamic_shapes={"args": ({0: ROWS},)}, strict=False)
    torch.export.save(program, tmp_path / "p.pt2")
    _is_whole(tmp_path / "p.pt2")


def _is_whole(file: Path) -> None:
    real, ours = torch.export.load(file), torch.export.load(checked(file))
    for one, other in zip(real.graph.nodes, ours.graph.nodes, strict=True):
        assert (str(one.target), str(one.args), str(one.kwargs)) == (
            str(other.target), str(other.args), str(other.kwargs)
        )  # fmt: skip
    assert str(real.range_constraints) == str(ours.range_constraints)
    assert run_trace(ModelRequest(file, Plan(device="cpu"))).coverage.incomplete == ""
