"""FSDP's units against those of torch and accelerate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from analyzer.capture.module_inventory import inventory_of
from analyzer.ir.inventory import Held
from analyzer.ir.plan import Plan, Training, Wrap
from analyzer.training.fsdp_units import fsdp_units
from analyzer.training.optimizer_dtypes import master
from tests.capture.wrapped import alone, llama


@pytest.mark.parametrize("minimum", [1, 2000, 5000, 20000])
def test_units_by_size_are_those_of_torch(minimum: int, tmp_path: Path) -> None:
    from functools import partial

    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy

    module = llama()
    ours = {
        u.modules[0]: len(u.parameters)
        for u in fsdp_units(inventory_of(module), Wrap(policy="size", min_params=minimum))
    }
    policy = partial(size_based_auto_wrap_policy, min_num_params=minimum)
    with alone(tmp_path):
        real = FullyShardedDataParallel(
            module, auto_wrap_policy=policy, use_orig_params=True, device_id=torch.device("cpu")
        )
        theirs = {
            name.replace("_fsdp_wrapped_module.", "").replace("_fsdp_wrapped_module", ""): len(part._flat_param._fqns)
            for name, part in real.named_modules()
            if isinstance(part, FullyShardedDataParallel) and part._flat_param is not None
        }
    assert ours == theirs


def test_a_tied_parameter_is_in_one_unit() -> None:
    module = llama()
    module.lm_head.weight = module.model.embed_tokens.weight
    for version in (1, 2):
        names = [held.name for unit in fsdp_units(inventory_of(module), Wrap(version)) for held in unit.parameters]
        assert sorted(names) == sorted(name for name, _ in module.named_parameters())
        assert all(isinstance(h, Held) for u in fsdp_units(inventory_of(module), Wrap(version)) for h in u.parameters)


@pytest.mark.parametrize("tied", [False, True])
def test_fsdp2_units_are_those_of_accelerate(tied: bool, tmp_path: Path) -> None:
    """`fsdp2_prepare_model` itself, on what it reads of an accelerator."""
    from types import SimpleNamespace

    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model
    from torch.distributed.device_mesh import init_device_mesh

    module = llama(torch.bfloat16)
    module.lm_head.to(torch.float32)
    if tied:
        module.lm_head.weight = module.model.embed_tokens.weight
    inventory, plan = inventory_of(module), Plan(training=Training(mixed_precision="bf16", fsdp=Wrap(2)))
    ours = {tuple(sorted(h.name for h in unit.parameters)) for unit in fsdp_units(inventory, Wrap(2))}
    kept = {h.name: master(h, plan, inventory) for h in inventory.tensors if h.kind == "parameter"}
    with alone(tmp_path):
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap", cpu_ram_efficient_loading=False
        )
        mesh = init_device_mesh("cpu", (1,), mesh_dim_names=("dp",))
        held = SimpleNamespace(fsdp_plugin=plugin)
        parallel = SimpleNamespace(fsdp_dim_names=["dp"])
        said = SimpleNamespace(
            state=held, torch_device_mesh=mesh, parallelism_config=parallel, mixed_precision="bf16",
            is_main_process=False, device=torch.device("cpu"),
        )  # fmt: skip
        real = fsdp2_prepare_model(said, module)
        names = {id(p): name for name, p in real.named_parameters()}
        groups = {
            id(group): tuple(sorted(names[id(p.sharded_param)] for p in group.fsdp_params))
            for part in real.modules()
            if hasattr(part, "_get_fsdp_state")
            for group in part._get_fsdp_state()._fsdp_param_groups
        }
        assert ours == set(groups.values())
        assert kept == {name: str(p.dtype).removeprefix("torch.") for name, p in real.named_parameters()}
