"""Routers as models write them: every one runs to its end, and its experts are linear in their number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from analyzer import trace
from analyzer.ir.plan import Plan
from analyzer.propagate import disagreements

Way = Callable[[torch.Tensor, torch.Tensor, nn.ModuleList], torch.Tensor]


def counted_in_numpy(x: torch.Tensor, scores: torch.Tensor, experts: nn.ModuleList) -> torch.Tensor:
    """Sort the tokens by expert, and read how many each has: the remote code of DeepSeek-V2 and V3."""
    weights, chosen = torch.topk(scores, 2, dim=-1, sorted=False)
    counts = chosen.new_zeros((chosen.shape[0], len(experts)))
    counts.scatter_(1, chosen, 1)
    order = chosen.view(-1).argsort()
    sorted_x, outs, start = x[order // 2], [], 0
    for expert, count in zip(experts, counts.sum(dim=0).cpu().numpy(), strict=True):
        if count:
            outs.append(expert(sorted_x[start : start + count]))
        start += count
    joined = torch.cat(outs)
    back = torch.empty_like(joined)
    back[order] = joined
    return (back.view(*chosen.shape, -1) * weights.unsqueeze(-1)).sum(dim=1).to(x.dtype)


def masked_one_by_one(x: torch.Tensor, scores: torch.Tensor, experts: nn.ModuleList) -> torch.Tensor:
    """A one-hot mask for every expert: Mixtral before transformers 5."""
    weights, chosen = torch.topk(scores, 2, dim=-1)
    weights = (weights / weights.sum(dim=-1, keepdim=True)).to(x.dtype)
    mask, out = F.one_hot(chosen, num_classes=len(experts)).permute(2, 1, 0), torch.zeros_like(x)
    for number, expert in enumerate(experts):
        rank, token = torch.where(mask[number])
        out.index_add_(0, token, expert(x[None, token].reshape(-1, x.shape[-1])) * weights[token, rank, None])
    return out


def chosen_by_experts(x: torch.Tensor, scores: torch.Tensor, experts: nn.ModuleList) -> torch.Tensor:
    """Every expert takes its best tokens."""
    weights, tokens = torch.topk(scores, 2, dim=0)
    out = torch.zeros_like(x)
    for number, expert in enumerate(experts):
        out.index_add_(0, tokens[:, number], expert(x[tokens[:, number]]) * weights[:, number, None].to(x.dtype))
    return out


def dropped_over_capacity(x: torch.Tensor, scores: torch.Tensor, experts: nn.ModuleList) -> torch.Tensor:
    """One expert a token, as long as it has room."""
    weight, chosen = scores.max(dim=-1)
    hot = F.one_hot(chosen, len(experts))
    hot = hot * (hot.cumsum(dim=0) <= 4)
    out = x.clone()
    for number, expert in enumerate(experts):
        token = hot[:, number].nonzero().squeeze(-1)
        if len(token):
            out[token] = expert(x[token]) * weight[token, None].to(x.dtype)
    return out


def all_at_once(x: torch.Tensor, scores: torch.Tensor, experts: nn.ModuleList) -> torch.Tensor:
    """Every expert on every token, weighted."""
    return torch.stack([e(x) * scores[:, i, None].to(x.dtype) for i, e in enumerate(experts)]).sum(0)


class Mixture(nn.Module):
    """A router in float32, and experts in bfloat16."""

    def __init__(self, way: Way, count: int) -> None:
        super().__init__()
        self.way, self.gate = way, nn.Linear(8, count, bias=False)
        self.experts = nn.ModuleList(nn.Linear(8, 8, dtype=torch.bfloat16) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Score in float32, then route."""
        return self.way(x, self.gate(x.float()).softmax(-1), self.experts)


WAYS = [counted_in_numpy, masked_one_by_one, chosen_by_experts, dropped_over_capacity, all_at_once]


@pytest.mark.parametrize("way", WAYS)
def test_a_router_runs_to_its_end_and_is_linear(way: Way) -> None:
    x, sizes = torch.ones(64, 8, dtype=torch.bfloat16), []
    real = Mixture(way, 4)(x)
    for count in (4, 8, 16):
        report = trace(Mixture(way, count).to("meta"), (x,), plan=Plan(device="cpu"))
        assert (report.coverage.incomplete, list(disagreements(report.flow))) == ("", [])
        assert report.outputs == (str(real.dtype).removeprefix("torch."),)
        assert not [f for f in report.findings if f.severity != "note"]
        sizes.append(report.coverage.ops)
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0])
