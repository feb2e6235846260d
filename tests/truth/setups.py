"""The precision set-ups, a table: how the real module gets its dtypes, and how the trace is told of them."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from torch import nn

from analyzer.capture import Loaded
from analyzer.inputs.labels import make_labels
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.running.forward import from_callable
from tests.truth.entry import Entry
from tests.truth.other_inputs import BOOL_MASK, BYTES, FLOAT_IDS, INTEGERS, NUMBER_MASK, SHORT_IDS, Kind

BF16, F16, F32, F64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
DTYPE: Final = "dtype" if tuple(map(int, transformers.__version__.split(".")[:2])) >= (4, 56) else "torch_dtype"
"""The keyword of `from_pretrained`."""
INPUTS_FILE: Final = "import torch\n\n\ndef inputs(config):\n    return torch.load({path!r})\n"


@dataclass(frozen=True, slots=True)
class Setup:
    """`change` is applied to the float32 module; with `load`, it is then saved and loaded by from_pretrained."""

    name: str
    says: str
    inputs: torch.dtype
    change: Callable[[nn.Module], object]
    load: str = ""
    autocast: str = ""
    """The dtype that autocast lowers to, on the device that is meant."""
    train: bool = False
    kind: Kind | None = None
    """Another kind of inputs than the model is meant to get."""

    def suits(self, entry: Entry) -> bool:
        """Whether a model has what this set-up changes."""
        return self.kind is None or self.kind.suits(entry)

    def plan(self, device: str = "cpu") -> Plan:
        autocast = f"{device}:{self.autocast}" if self.autocast else None
        return Plan(device=device, dtype=self.load or None, autocast=autocast, scope="run", train=self.train)


def given(entry: Entry, setup: Setup, module: nn.Module) -> dict[str, Any]:
    """The inputs of a set-up; in training with labels, where the model's head is known to take them.

    Not for detection: its loss matches boxes with those predicted, in scipy, by their values.
    """
    values = entry.given(setup.inputs)
    if setup.kind:
        values = setup.kind.change(values, module)
    if setup.train and entry.family != "detection":
        config: Any = module.config
        values |= make_labels(module, config, inspect.signature(module.forward), values, setup.inputs)
    return values


def prepare(entry: Entry, setup: Setup, folder: Path, device: str = "cpu") -> tuple[nn.Module, Loaded]:
    """The real module and what is traced: the same module by the function door, or its folder by the loader's."""
    module = entry.build()
    setup.change(module)
    values = given(entry, setup, module)
    if not setup.load:
        return module, replace(from_callable(copy.deepcopy(module), (), values), name=entry.cls)
    module.save_pretrained(folder)  # type: ignore[operator]
    torch.save(values, folder / "inputs.pt")
    file = folder / "inputs.py"
    file.write_text(INPUTS_FILE.format(path=str(folder / "inputs.pt")))
    extra = {"attn_implementation": entry.attention} if entry.attention else {}
    real = type(module).from_pretrained(folder, **{DTYPE: setup.load}, **extra)  # type: ignore[attr-defined]
    loaded = load(folder, setup.plan(device), inputs_file=file)
    if entry.attention:
        loaded.module.set_attn_implementation(entry.attention)  # type: ignore[operator]
    return real.eval(), loaded


class Lora(nn.Module):
    """A float32 low-rank adapter on a Linear; `casts`: x to its dtype and back to the base's, as PEFT does."""

    def __init__(self, base: nn.Linear, casts: bool) -> None:
        super().__init__()
        self.base, self.casts = base, casts
        self.a = nn.Linear(base.in_features, 4, bias=False, dtype=F32)
        self.b = nn.Linear(4, base.out_features, bias=False, dtype=F32)

    @property
    def weight(self) -> torch.Tensor:
        """Models that look at a layer's weight, for its dtype or device, see the base's."""
        return self.base.weight

    @property
    def bias(self) -> torch.Tensor | None:
        return self.base.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result = self.base(x)
        taken = x.to(self.a.weight.dtype) if self.casts else x
        total: torch.Tensor = result + self.b(self.a(taken)) * 0.5
        return total.to(result.dtype) if self.casts else total


def _to(dtype: torch.dtype) -> Callable[[nn.Module], object]:
    return lambda module: module.to(dtype)


def _layer(base: torch.dtype, left: torch.dtype) -> Callable[[nn.Module], object]:
    """Everything in `base` but one matrix in the middle of the model."""

    def change(module: nn.Module) -> None:
        module.to(base)
        matrices = [
            m for m in module.modules() if isinstance(getattr(m, "weight", None), nn.Parameter) and m.weight.dim() > 1
        ]
        matrices[len(matrices) // 2].to(left)

    return change


def _component(base: torch.dtype, left: torch.dtype) -> Callable[[nn.Module], object]:
    """Everything in `base` but the last part: the head, the decoder, the language model."""

    def change(module: nn.Module) -> None:
        module.to(base)
        part = module
        while len(parts := [c for c in part.children() if any(True for _ in c.parameters())]) == 1:
            part = parts[0]
        parts[-1].to(left)

    return change


def _norms(module: nn.Module) -> None:
    module.to(BF16)
    for part in module.modules():
        if "Norm" in type(part).__name__:
            part.to(F32)


def _adapters(casts: bool) -> Callable[[nn.Module], object]:
    def change(module: nn.Module) -> None:
        module.to(BF16)
        linears = [(n, m) for n, m in module.named_modules() if type(m) is nn.Linear and m.in_features > 1]
        for name, linear in linears[len(linears) > 1 :: max(1, math.ceil(len(linears) / 4))]:
            path, _, leaf = name.rpartition(".")
            setattr(module.get_submodule(path), leaf, Lora(linear, casts))

    return change


def _frozen(module: nn.Module) -> None:
    module.requires_grad_(False)
    _adapters(True)(module)


def _checkpointed(module: nn.Module) -> None:
    module.to(BF16)
    if getattr(module, "supports_gradient_checkpointing", False):
        module.gradient_checkpointing_enable()  # type: ignore[operator]


SETUPS: Final = {
    setup.name: setup
    for setup in (
        Setup("bf16", "everything in bf16", BF16, _to(BF16)),
        Setup("f16", "everything in f16", F16, _to(F16)),
        Setup("f32 in", "bf16 model, f32 inputs", F32, _to(BF16)),
        Setup("f64 in", "f32 model, f64 inputs, as numpy makes them", F64, _to(F32)),
        Setup("layer f32", "bf16 model, one layer in its middle left f32", BF16, _layer(BF16, F32)),
        Setup("part f32", "bf16 model, its last component left f32", BF16, _component(BF16, F32)),
        Setup("part bf16", "f32 model, its last component left bf16", F32, _component(F32, BF16)),
        Setup("norms f32", "bf16 model, norms f32", BF16, _norms),
        Setup("lora f32", "bf16 model, f32 adapters that cast as PEFT's do", BF16, _adapters(True)),
        Setup("lora bare", "bf16 model, f32 adapters that do not cast", BF16, _adapters(False)),
        Setup("load bf16", "from_pretrained(dtype=bfloat16) of an f32 checkpoint", BF16, _to(F32), load="bfloat16"),
        Setup("load f16", "from_pretrained(dtype=float16) of an f32 checkpoint", F16, _to(F32), load="float16"),
        Setup("load auto", 'from_pretrained(dtype="auto") of a bf16 checkpoint', BF16, _to(BF16), load="auto"),
        Setup("autocast", "f32 model under autocast cpu bf16", F32, _to(F32), autocast="bfloat16"),
        Setup("train bf16", "a training step of everything in bf16", BF16, _to(BF16), train=True),
        Setup(
            "train part",
            "the same of a bf16 model, its last component left f32",
            BF16,
            _component(BF16, F32),
            train=True,
        ),
        Setup("train norms", "the same of a bf16 model, norms f32", BF16, _norms, train=True),
        Setup(
            "train lora",
            "the same of a frozen bf16 model, f32 adapters that cast as PEFT's do",
            BF16,
            _frozen,
            train=True,
        ),
        Setup("train ckpt", "the same of a bf16 model with gradient checkpointing", BF16, _checkpointed, train=True),
        Setup(
            "train autocast",
            "the same of an f32 model under autocast cpu bf16",
            F32,
            _to(F32),
            autocast="bfloat16",
            train=True,
        ),
        Setup("int in", "bf16 model, int64 where floats belong", BF16, _to(BF16), kind=INTEGERS),
        Setup("float ids", "bf16 model, token ids in f32", BF16, _to(BF16), kind=FLOAT_IDS),
        Setup("int32 ids", "bf16 model, token ids in int32", BF16, _to(BF16), kind=SHORT_IDS),
        Setup("bool mask", "bf16 model, the attention mask in bool", BF16, _to(BF16), kind=BOOL_MASK),
        Setup("f32 mask", "bf16 model, the attention mask in f32", BF16, _to(BF16), kind=NUMBER_MASK),
        Setup("uint8 image", "bf16 model, images in uint8", BF16, _to(BF16), kind=BYTES),
    )
}
