"""Real FSDP1, FSDP2 and DeepSpeed around tiny models on the CPU, in one process: what they compute with or raise."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import transformers as hf
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision, MixedPrecisionPolicy, fully_shard
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

from analyzer.capture.module_inventory import inventory_of
from analyzer.ir.plan import Wrap
from analyzer.training.fsdp_units import fsdp_units

INPUTS: dict[str, Any] = {"input_ids": torch.arange(8)[None], "labels": torch.arange(8)[None]}
TINY = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}


def llama(dtype: torch.dtype = torch.float32) -> Any:
    """Two layers, whose class FSDP wraps by default."""
    torch.manual_seed(0)
    config = hf.LlamaConfig(**TINY, num_attention_heads=4, num_key_value_heads=2)
    return hf.LlamaForCausalLM(config).to(dtype)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A process group of one."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def shard(module: Any, wrap: Wrap) -> nn.Module:
    """The module under the real FSDP, as the wrap says."""
    dtypes = {key: getattr(torch, value) for key, value in _policy(wrap).items() if value}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if wrap.version == 2:
            mesh, policy = init_device_mesh("cpu", (1,)), MixedPrecisionPolicy(**dtypes)
            for unit in fsdp_units(inventory_of(module), wrap):
                parts = [module.get_submodule(path) for path in unit.modules]
                if unit.modules != ("",):
                    fully_shard(parts if len(parts) > 1 else parts[0], mesh=mesh, mp_policy=policy)
            fully_shard(module, mesh=mesh, mp_policy=policy)
            return module  # type: ignore[no-any-return]
        names = wrap.classes or inventory_of(module).no_split
        classes = {type(part) for part in module.modules() if type(part).__name__ in names}
        return FullyShardedDataParallel(
            module,
            auto_wrap_policy=partial(transformer_auto_wrap_policy, transformer_layer_cls=classes),
            mixed_precision=MixedPrecision(**dtypes) if dtypes else None,
            use_orig_params=wrap.use_orig_params,
            device_id=torch.device("cpu"),
        )


def _policy(wrap: Wrap) -> dict[str, str]:
    last = {"output_dtype": wrap.output_dtype} if wrap.version == 2 else {"buffer_dtype": wrap.buffer_dtype}
    return {"param_dtype": wrap.param_dtype, "reduce_dtype": wrap.reduce_dtype, **last}


def seen(module: nn.Module) -> tuple[Callable[[], dict[str, str]], Any]:
    """Installs hooks: the dtypes of what each linear layer and norm computes, by its path in the bare model."""
    found: dict[str, str] = {}
    handles = []

    def note(name: str, part: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, torch.Tensor):
            found[name] = str(out.dtype).removeprefix("torch.")

    for name, part in module.named_modules():
        if not list(part.children()):
            handles.append(part.register_forward_hook(partial(note, name.replace("_fsdp_wrapped_module.", ""))))
    return (lambda: found), handles


def engine(module: nn.Module, **settings: Any) -> Any:
    """The module in DeepSpeed's real engine, in bfloat16; skips the test where DeepSpeed is not installed."""
    os.environ.update({"LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1", "DS_ACCELERATOR": "cpu"})
    deepspeed = pytest.importorskip("deepspeed")
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # else it is compiled, which takes half a minute
    deepspeed.comm.comm.cdb = deepspeed.utils.groups._WORLD_GROUP = None  # of an earlier test
    optimizer = {"type": "AdamW", "params": {"lr": 1e-3, "torch_adam": True}}
    config = {"train_micro_batch_size_per_gpu": 1, "bf16": {"enabled": True}, "optimizer": optimizer, **settings}
    return deepspeed.initialize(
        model=module, model_parameters=module.parameters(), dist_init_required=False, config=config
    )[:2]
