"""Small modules out of the rest of PyTorch's surface, with their inputs and the dtypes in which each is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from analyzer.ir import walk
from tests.truth import surface_distributed as spread
from tests.truth import surface_modules as made
from tests.truth import surface_recurrent as recurrent
from tests.truth import surface_wrapped as wrapped

GLOO, FAKE = "gloo", "fake"


@dataclass(frozen=True, slots=True)
class Case:
    """A module that `build` makes in float32, and the tensors that it is called with."""

    name: str
    family: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple[Any, ...]]
    group: str = ""
    """The backend of the process group of one rank that it runs in; "" is none."""
    train: bool = False
    """Whether gradients are on."""
    only: tuple[str, ...] = ()
    """Names of the variants that mean something; empty is all."""
    stops: str = ""
    """Why the trace ends early, and says so: it is not followed, or the real run ends there for no dtype's sake."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Dtypes of the float parameters and of the float inputs; None leaves them in float32."""

    name: str
    says: str
    module: torch.dtype | None = None
    given: torch.dtype | None = None

    def built(self, case: Case) -> tuple[nn.Module, tuple[Any, ...]]:
        """Module and inputs, under a fixed seed."""
        torch.manual_seed(0)
        module, inputs = case.build(), case.inputs()
        if self.module is not None:
            module = module.to(self.module)
        return module, walk.changed(inputs, torch.Tensor, self._cast)

    def _cast(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.given is None or not tensor.is_floating_point():
            return tensor
        return tensor.to(self.given) if self.given.is_floating_point else (3 * tensor).to(self.given)


VARIANTS: Final = (
    Variant("clean", "everything in f32"),
    Variant("bf16", "everything in bf16", torch.bfloat16, torch.bfloat16),
    Variant("f32 in", "bf16 module, f32 inputs", torch.bfloat16),
    Variant("bf16 in", "f32 module, bf16 inputs", None, torch.bfloat16),
    Variant("f64 in", "f32 module, f64 inputs", None, torch.float64),
    Variant("int in", "f32 module, int64 inputs", None, torch.int64),
)
CLEAN: Final = ("clean", "bf16")


@contextmanager
def grouped(backend: str) -> Iterator[None]:
    """While this lasts, there is a process group of one rank, if a backend is named."""
    if not backend:
        yield
        return
    if backend == FAKE:
        import torch.testing._internal.distributed.fake_pg as fake

        dist.init_process_group(FAKE, store=fake.FakeStore(), rank=0, world_size=1)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _x(*shape: int) -> Callable[[], tuple[torch.Tensor, ...]]:
    return lambda: (torch.randn(*shape),)


def _attended() -> tuple[torch.Tensor, ...]:
    return (torch.randn(1, 2, 16, 16), torch.randn(1, 2, 16, 16), torch.randn(1, 2, 16, 16))


def _jagged() -> tuple[torch.Tensor, ...]:
    return (torch.nested.nested_tensor([torch.randn(2, 8), torch.randn(5, 8)], layout=torch.jagged),)


def _strided() -> tuple[torch.Tensor, ...]:
    return (torch.nested.nested_tensor([torch.randn(2, 8), torch.randn(5, 8)], layout=torch.strided),)


def _two() -> tuple[torch.Tensor, ...]:
    return (torch.randn(2, 8), torch.randn(5, 8))


def _packed() -> tuple[Any, ...]:
    return (pack_sequence([torch.randn(4, 8), torch.randn(2, 8)]),)


def _padded() -> tuple[torch.Tensor, ...]:
    return (torch.randn(2, 5, 8), torch.tensor([[False] * 5, [False] * 3 + [True] * 2]))


OLD: Final = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)
STRIDED: Final = "the strided layout"
NEWER: Final = CLEAN if OLD else ()
"""What older torch can do: its gloo ends the process where dtypes differ, its scan has no gradient."""
NO_GRADIENT: Final = "Autograd not implemented" if OLD else ""
X: Final = _x(3, 8)
SEQUENCE: Final = _x(2, 5, 8)

CASES: Final = (
    Case("cond", "higher-order", made.Cond, X),
    Case("cond, known predicate", "higher-order", made.CondKnown, X),
    Case("cond, branches in two dtypes", "higher-order", made.CondTwoDtypes, X),
    Case("cond, training", "higher-order", made.Cond, X, train=True),
    Case("while_loop", "higher-order", made.While, X),
    Case("while_loop, float condition", "higher-order", made.WhileFloat, X),
    Case("scan", "higher-order", made.Scan, X),
    Case("map", "higher-order", made.Map, X),
    Case("associative_scan", "higher-order", made.AssociativeScan, X),
    Case("flex_attention", "higher-order", made.Flex, _attended),
    Case("flex_attention, masked", "higher-order", made.FlexMasked, _attended),
    Case("checkpoint", "higher-order", made.Checkpoint, X, train=True),
    Case("checkpoint, reentrant", "higher-order", made.CheckpointReentrant, X, train=True),
    Case("checkpoint, selective", "higher-order", made.CheckpointSelective, X, train=True),
    Case("scan, training", "higher-order", made.ScanLearned, X, train=True, only=NEWER, stops=NO_GRADIENT),
    Case("map, training", "higher-order", made.Map, X, train=True),
    Case("jagged input", "nested", made.Pointwise, _jagged),
    Case("jagged", "nested", made.Jagged, _two),
    Case("jagged attention", "nested", made.JaggedAttention, _two),
    Case("strided input", "nested", made.Pointwise, _strided, stops=STRIDED),
    Case("strided", "nested", made.Strided, _two, stops=STRIDED),
    Case("TransformerEncoder, padded", "nested", made.Encoder, _padded),
    Case("MaskedTensor", "nested", made.Masked, X),
    Case("OptimizedModule", "compiled", wrapped.whole, X),
    Case("OptimizedModule, a part", "compiled", wrapped.Part, X),
    Case("compile(fn)", "compiled", wrapped.Function, X),
    Case("compile of a method", "compiled", wrapped.Method, X),
    Case("module.compile()", "compiled", wrapped.in_place, X),
    Case("compile in forward", "compiled", wrapped.InForward, X),
    Case("compile in forward, called before", "compiled", wrapped.warm, X),
    Case("jit.script", "compiled", wrapped.Scripted, X),
    Case("jit.trace", "compiled", wrapped.JitTraced, X),
    Case("OptimizedModule, training", "compiled", wrapped.whole, X, train=True),
    Case("vmap", "torch.func", made.Vmap, X),
    Case("vmap of products", "torch.func", made.VmapBoth, X),
    Case("grad", "torch.func", made.Grad, X),
    Case("vmap of grad", "torch.func", made.PerSample, X),
    Case("jvp", "torch.func", made.Jvp, X),
    Case("vjp", "torch.func", made.Vjp, X),
    Case("jacrev", "torch.func", made.Jacrev, _x(8)),
    Case("jacfwd", "torch.func", made.Jacfwd, _x(8)),
    Case("hessian", "torch.func", made.Hessian, _x(8)),
    Case("functional_call", "torch.func", made.Functional, X),
    Case("ensemble", "torch.func", made.Ensemble, X),
    Case("per-sample gradients, training", "torch.func", made.PerSample, X, train=True),
    Case("dual numbers", "torch.func", made.Dual, X),
    Case("autograd.functional.jacobian", "torch.func", made.Jacobian, X),
    Case("linearize", "torch.func", made.Linearize, X),
    Case("vmap of dropout", "torch.func", made.VmapDropout, X),
    Case("vmap of cond", "torch.func", made.VmapCond, X, only=CLEAN, stops="inside torch.func.vmap"),
    Case("all_reduce", "distributed", spread.AllReduce, X, GLOO),
    Case("all_gather", "distributed", spread.AllGather, X, GLOO),
    Case("all_gather_into_tensor", "distributed", spread.AllGatherInto, X, GLOO),
    Case("reduce_scatter_tensor", "distributed", spread.ReduceScatter, X, GLOO, only=NEWER),
    Case("broadcast and barrier", "distributed", spread.Broadcast, X, GLOO),
    Case("all_reduce, waited for", "distributed", spread.AllReduceAsync, X, GLOO),
    Case("functional all_reduce", "distributed", spread.FunctionalReduce, X, GLOO),
    Case("functional all_gather", "distributed", spread.FunctionalGather, X, GLOO),
    Case("DTensor", "distributed", spread.Sharded, X, GLOO),
    Case("tensor parallel", "distributed", spread.tensor_parallel, X, GLOO),
    Case("all_reduce, fake group", "distributed", spread.AllReduce, X, FAKE),
    Case("all_reduce, no group", "distributed", spread.AllReduce, X, only=CLEAN, stops="has not been initialized"),
    Case("DistributedDataParallel", "distributed", spread.replicated, X, GLOO),
    Case("fully_shard", "distributed", spread.fully_sharded, X, GLOO, stops="FSDP has wrapped"),
    Case("all_to_all_single", "distributed", spread.AllToAll, X, GLOO),
    Case("gather, scatter, reduce", "distributed", spread.Gather, X, GLOO),
    Case("all_reduce_coalesced", "distributed", spread.Coalesced, X, GLOO),
    Case("all_gather_object", "distributed", spread.Objects, X, GLOO),
    Case("functional reduce_scatter", "distributed", spread.FunctionalScatter, X, GLOO),
    Case("functional all_to_all", "distributed", spread.FunctionalAllToAll, X, GLOO),
    Case("nn.functional.all_reduce, training", "distributed", spread.Differentiable, X, GLOO, train=True),
    Case("DTensor, training", "distributed", spread.Sharded, X, GLOO, train=True),
    Case("tensor parallel, training", "distributed", spread.tensor_parallel, X, GLOO, train=True),
    Case("DistributedDataParallel, training", "distributed", spread.replicated, X, GLOO, train=True),
    Case("parametrize", "parametrized", wrapped.parametrized, X),
    Case("parametrize, cached", "parametrized", wrapped.Cached, X),
    Case("parametrizations.weight_norm", "parametrized", wrapped.weight_norm, X),
    Case("parametrizations.spectral_norm", "parametrized", wrapped.spectral_norm, X),
    Case("parametrizations.orthogonal", "parametrized", wrapped.orthogonal, X),
    Case("weight_norm", "parametrized", wrapped.old_weight_norm, X),
    Case("spectral_norm", "parametrized", wrapped.old_spectral_norm, X),
    Case("prune", "parametrized", wrapped.pruned, X),
    Case("LSTM", "recurrent", recurrent.lstm, SEQUENCE),
    Case("LSTM, bidirectional", "recurrent", recurrent.both_ways, SEQUENCE),
    Case("LSTM, projected", "recurrent", recurrent.projected, SEQUENCE),
    Case("LSTM, given state", "recurrent", recurrent.Stateful, SEQUENCE),
    Case("LSTM, packed", "recurrent", recurrent.packed_lstm, SEQUENCE),
    Case("LSTM, training", "recurrent", recurrent.lstm, SEQUENCE, train=True),
    Case("GRU", "recurrent", recurrent.gru, SEQUENCE),
    Case("GRU, packed", "recurrent", recurrent.packed_gru, SEQUENCE),
    Case("GRU, packed input", "recurrent", recurrent.PackedInput, _packed),
    Case("RNN", "recurrent", recurrent.rnn, SEQUENCE),
    Case("LSTMCell", "recurrent", recurrent.lstm_cell, X),
    Case("GRUCell", "recurrent", recurrent.gru_cell, X),
    Case("RNNCell", "recurrent", recurrent.rnn_cell, X),
)  # fmt: skip


def cases() -> Iterator[tuple[Case, Variant]]:
    """Every case in each of its variants."""
    for case in CASES:
        for variant in VARIANTS:
            if not case.only or variant.name in case.only:
                yield case, variant


EXPLAINED: Final = dict.fromkeys(
    (*[("cond, branches in two dtypes", variant) for variant in ("f32 in", "bf16 in", "int in")],
     *[(name, variant) for name in ("while_loop", "while_loop, float condition") for variant in ("bf16 in", "int in")]),
    "both raise: really the compiler first compares what branches give, as fake tensors give it, which refuse no "
    "product; the trace tells the product inside",
)  # fmt: skip
"""(case, variant) -> why both raise, in other words."""
