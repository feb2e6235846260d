"""Modules that call collectives, and modules that a group of processes has wrapped."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as collectives
import torch.distributed.nn.functional as differentiable
from torch import nn

from tests.truth.surface_modules import One


class AllReduce(One):
    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        dist.all_reduce(y)
        return y


class AllReduceAsync(One):
    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        work = dist.all_reduce(y, async_op=True)
        work.wait()
        return y * 2


class AllGather(One):
    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        parts = [torch.empty_like(x)]
        dist.all_gather(parts, y)
        return torch.cat(parts)


class AllGatherInto(One):
    def forward(self, x: Any) -> Any:
        whole = torch.empty(3, 8)
        dist.all_gather_into_tensor(whole, self.layer(x))
        return whole


class ReduceScatter(One):
    def forward(self, x: Any) -> Any:
        part = torch.empty_like(x)
        dist.reduce_scatter_tensor(part, self.layer(x))
        return part


class Broadcast(One):
    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        dist.broadcast(y, 0)
        dist.barrier()
        return y


class FunctionalReduce(One):
    def forward(self, x: Any) -> Any:
        return collectives.all_reduce(self.layer(x), "sum", dist.group.WORLD) * 2


class FunctionalGather(One):
    def forward(self, x: Any) -> Any:
        return collectives.all_gather_tensor(self.layer(x), 0, dist.group.WORLD) * 2


class Sharded(One):
    def forward(self, x: Any) -> Any:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

        mesh = init_device_mesh("cpu", (1,))
        shard = DTensor.from_local(self.layer(x), mesh, [Shard(0)])
        other = distribute_tensor(x, mesh, [Replicate()])
        return (shard.sin() + other).redistribute(mesh, [Replicate()]).to_local()


def tensor_parallel() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
    return parallelize_module(module, init_device_mesh("cpu", (1,)), {"0": ColwiseParallel(), "2": RowwiseParallel()})


def replicated() -> nn.Module:
    return nn.parallel.DistributedDataParallel(nn.Linear(8, 8))


def fully_sharded() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    module = nn.Sequential(nn.Linear(8, 8))
    fully_shard(module, mesh=init_device_mesh("cpu", (1,)))
    return module


class AllToAll(One):
    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        mixed = torch.empty_like(y)
        dist.all_to_all_single(mixed, y)
        return mixed


class Gather(One):
    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        parts = [torch.empty_like(y)]
        dist.gather(y, parts, dst=0)
        part = torch.empty_like(y)
        dist.scatter(part, parts, src=0)
        dist.reduce(part, 0)
        return part


class Coalesced(One):
    def forward(self, x: Any) -> Any:
        y = self.layer(x)
        z = y * 2
        dist.all_reduce_coalesced([y, z])
        return y + z


class Objects(One):
    def forward(self, x: Any) -> Any:
        scales: list[Any] = [None]
        dist.all_gather_object(scales, 2.0)
        return self.layer(x) * scales[0]


class FunctionalScatter(One):
    def forward(self, x: Any) -> Any:
        return collectives.reduce_scatter_tensor(self.layer(x), "sum", 0, dist.group.WORLD) * 2


class FunctionalAllToAll(One):
    def forward(self, x: Any) -> Any:
        y = collectives.broadcast(self.layer(x), 0, dist.group.WORLD)
        return collectives.all_to_all_single(y, None, None, dist.group.WORLD) * 2


class Differentiable(One):
    def forward(self, x: Any) -> Any:
        return differentiable.all_reduce(self.layer(x))
