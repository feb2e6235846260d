"""Casts what FSDP's mixed precision and DeepSpeed's engine cast around a traced model: parameters, buffers, values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import torch
from torch import nn
from torch.distributed.utils import _apply_to_tensors

from analyzer.capture.tracing.tracer import Tracer
from analyzer.ir.graph import NOWHERE
from analyzer.ir.inventory import Inventory
from analyzer.ir.plan import Engine, Plan, Wrap
from analyzer.training.fsdp_units import Unit, fsdp_units
from analyzer.training.optimizer_dtypes import widened

BY_FSDP: Final = "fsdp"
BY_DEEPSPEED: Final = "deepspeed"
"""`Node.inserted` of the casts made here."""
_CASTABLE: Final = (torch.float32, torch.float16, torch.bfloat16)
"""What DeepSpeed's engine casts (`CASTABLE_DTYPES`)."""
_Slots = list[tuple[dict[str, Any], str]]


@contextmanager
def wrapped(plan: Plan, module: nn.Module, inventory: Inventory, tracer: Tracer) -> Iterator[None]:
    """While this lasts, the module computes as the plan's training set-up wraps it; afterwards it is as it was."""
    training = plan.training
    if training is None or type(module) is nn.Module:
        yield
        return
    slots, buffers = _slots(module, "_parameters"), _slots(module, "_buffers")
    before = [(h, k, h[k]) for places in (*slots.values(), *buffers.values()) for h, k in places]
    handles: list[Any] = []
    try:
        if training.deepspeed is not None:
            _engine(training.deepspeed, slots, tracer)
        if training.fsdp is not None:
            found = fsdp_units(inventory, training.fsdp)
            handles += _shard(plan, training.fsdp, found, module, inventory, slots, tracer)
            _buffers(training.fsdp, found, buffers, tracer)
        yield
    finally:
        for handle in handles:
            handle.remove()
        for holder, key, tensor in before:
            holder[key] = tensor


def _slots(module: nn.Module, kind: str) -> dict[str, _Slots]:
    """Name of each parameter or buffer -> every place that holds it, tied ones as well."""
    names: dict[int, str] = {}
    found: dict[str, _Slots] = {}
    for path, part in module.named_modules(remove_duplicate=False):
        holder = getattr(part, kind)
        for key, tensor in holder.items():
            if tensor is not None:
                name = names.setdefault(id(tensor), f"{path}.{key}" if path else key)
                found.setdefault(name, []).append((holder, key))
    return found


def _engine(engine: Engine, slots: dict[str, _Slots], tracer: Tracer) -> None:
    """As `_cast_module_mixed_precision` of deepspeed 0.19: parameters alone; buffers keep the dtype they have.

    The engine replaces the data of a parameter, so that its gradient has the engine's dtype.
    """
    if not engine.dtype:
        return
    dtype = getattr(torch, engine.dtype)
    for name, places in slots.items():
        holder, key = places[0]
        tensor = holder[key]
        if tensor.dtype not in _CASTABLE or tensor.dtype == dtype:
            continue
        with tracer.inserting(BY_DEEPSPEED), torch.no_grad():
            made = tensor.to(dtype)
        made.requires_grad_(tensor.requires_grad)
        tracer.module_dtypes.computing[name] = engine.dtype
        _put(places, made)


def _shard(
    plan: Plan, wrap: Wrap, found: Sequence[Unit], module: nn.Module, inventory: Inventory,
    slots: dict[str, _Slots], tracer: Tracer,
) -> list[Any]:  # fmt: skip
    tracer.inventions.note(
        "FSDP shards the parameters", f"traced whole, in {len(found)} units; no communication", NOWHERE
    )
    handles = []
    for unit in found:
        dtypes = _computing(plan, wrap, unit, inventory)
        tracer.module_dtypes.computing.update(dtypes)
        mine = {name: slots[name] for name in dtypes if name in slots}
        for path in unit.modules:
            part = module.get_submodule(path)
            around = _Around(wrap, unit, path, mine, dtypes, tracer)
            handles.append(part.register_forward_pre_hook(around.before, prepend=True, with_kwargs=True))
            handles.append(part.register_forward_hook(around.after))
    if ("",) not in [unit.modules for unit in found]:  # a root without parameters of its own casts its inputs as well
        around = _Around(wrap, Unit(("",), ()), "", {}, {}, tracer)
        handles.append(module.register_forward_pre_hook(around.before, prepend=True, with_kwargs=True))
        handles.append(module.register_forward_hook(around.after))
    return handles


def _computing(plan: Plan, wrap: Wrap, unit: Unit, inventory: Inventory) -> dict[str, str]:
    """Name of each parameter of a unit that computes in another dtype than it is stored in -> that dtype."""
    made = {}
    for held in unit.parameters:
        stored = "float32" if widened(held, plan, inventory) else held.spec.dtype
        dtype = wrap.param_dtype if wrap.param_dtype and unit.narrow else stored
        if dtype != held.spec.dtype and getattr(torch, held.spec.dtype).is_floating_point:
            made[held.name] = dtype
    return made


def _buffers(wrap: Wrap, found: Sequence[Unit], buffers: dict[str, _Slots], tracer: Tracer) -> None:
    """FSDP1 casts buffers once, before the first forward."""
    if wrap.version != 1 or not wrap.buffer_dtype:
        return
    exempt = {path for unit in found if not unit.narrow for path in unit.modules}
    for name, places in buffers.items():
        holder, key = places[0]
        tensor = holder[key]
        if not tensor.is_floating_point() or name.rpartition(".")[0] in exempt:
            continue
        with tracer.inserting(BY_FSDP), torch.no_grad():
            _put(places, tensor.to(getattr(torch, wrap.buffer_dtype)))


class _Around:
    """The hooks around one module of a unit."""

    def __init__(
        self, wrap: Wrap, unit: Unit, path: str, slots: dict[str, _Slots], dtypes: dict[str, str], tracer: Tracer
    ) -> None:
        self._slots, self._dtypes, self._tracer = slots, dtypes, tracer
        self._old: list[tuple[dict[str, object], str, object]] = []
        self._given: torch.dtype | None = None
        self._inputs = self._outputs = ""
        self._own = not unit.narrow
        if self._own:
            self._inputs = "float32"
        elif wrap.version == 2:
            self._inputs, self._outputs = wrap.param_dtype, wrap.output_dtype
        elif not path:
            self._inputs = wrap.param_dtype

    def before(self, module: nn.Module, args: object, kwargs: object) -> Any:
        """Put the casts of the parameters in place, and cast float inputs."""
        self._restore()  # a recomputation ends early, without `after`
        with self._tracer.inserting(BY_FSDP):
            for name, places in self._slots.items():
                holder, key = places[0]
                self._old += [(h, k, h[k]) for h, k in places]
                _put(places, holder[key].to(getattr(torch, self._dtypes[name])))
            return self._cast(args, self._inputs), self._cast(kwargs, self._inputs)

    def after(self, module: nn.Module, args: object, output: object) -> Any:
        """Put the parameters back, and cast float outputs.

        With gradients they stay until the backward pass is over: FSDP gathers them again for it, and checkpointing
        recomputes inside of the hooks' module.
        """
        if not torch.is_grad_enabled():
            self._restore()
        with self._tracer.inserting(BY_FSDP):
            back = str(self._given).removeprefix("torch.") if self._own and self._given else self._outputs
            return self._cast(output, back)

    def _restore(self) -> None:
        while self._old:
            holder, key, tensor = self._old.pop()
            holder[key] = tensor

    def _cast(self, value: object, dtype: str) -> object:
        if not dtype:
            return value
        change: Callable[[torch.Tensor], torch.Tensor] = partial(self._one, getattr(torch, dtype))
        return _apply_to_tensors(change, value)

    def _one(self, dtype: torch.dtype, tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point() or tensor.dtype == dtype:
            return tensor
        self._given = tensor.dtype
        return tensor.to(dtype)


def _put(places: _Slots, tensor: torch.Tensor) -> None:
    for holder, key in places:
        holder[key] = tensor
