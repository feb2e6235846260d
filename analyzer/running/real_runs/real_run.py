"""Runs a small model for real on the CPU, as its plan says, and keeps what it gives or how it fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from analyzer import oracle
from analyzer.capture import Loaded
from analyzer.capture.autocast.dispatch import home
from analyzer.capture.autocast.real_tensors import autocast_of
from analyzer.capture.autocast.scope import covered
from analyzer.capture.emulation.compiled import uncompiled
from analyzer.capture.emulation.cuda import stay
from analyzer.capture.source_lines import SourceLines
from analyzer.errors import AnalyzerError, first_line
from analyzer.ir import walk
from analyzer.ir.blame.roles import writes_into_first
from analyzer.ir.graph import Place
from analyzer.ir.plan import Plan
from analyzer.running.output_tensors import leaves
from analyzer.running.real_runs.lent_kernels import LentKernels
from analyzer.running.real_runs.real_tensors import repeatable
from analyzer.running.session import Run, Session, variant
from analyzer.running.training_step import loss_of, require_gradients
from analyzer.watched import resident

SECONDS: Final = 20.0
"""How long one run may compute: what other processes take does not count."""
MEMORY: Final = 2 << 30
"""Bytes that the process may take more while it runs."""
_SEED: Final = 0
_AWAY: Final = ("CUDA", "cuda", "XPU", "device")
"""What an error names that comes of a device which is not there."""
Context = Callable[[], AbstractContextManager[Any]]
NO_REPAIRS: Final[Mapping[Place, str]] = {}
_NO_MEMORY: Final = ("can't allocate memory", "not enough memory")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a real run gave: its tensors by what they are, or the words and the place of its error."""

    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """`output 0`, `buffer cache`, `gradient of weight` -> the tensor."""
    words: str = ""
    kind: str = ""
    """The class of the error."""
    place: Place = field(default_factory=Place)
    """The innermost source line of the error outside torch."""
    repaired: tuple[tuple[Place, str], ...] = ()
    """Where a call was refused and made again with other dtypes, and in which words."""

    @property
    def errors(self) -> tuple[tuple[Place, str], ...]:
        """Place and words of every error, also of those that were repaired."""
        return (*self.repaired, *([(self.place, self.words)] if self.failed else []))

    @property
    def failed(self) -> bool:
        """Whether an error ended it."""
        return bool(self.kind)


def run_really(
    loaded: Loaded, plan: Plan, *, within: Context = nullcontext, seed: int = _SEED,
    repairs: Mapping[Place, str] = NO_REPAIRS, lends: bool = False, changed: Callable[[Loaded], Loaded] | None = None,
) -> Ran:  # fmt: skip
    """One run of a copy of what was loaded with real tensors, `within` a context; the copy is `changed` first.

    A call that is refused at a place of `repairs` is made again with its floats in the dtype given there, as a trace
    does it. With `lends`, what the CPU has no half-precision kernel for computes in float32. A run that asks for a
    device which is not there is made again with all that stays here. Raises AnalyzerError for a run that takes too long
    or too much memory, and for a model that cannot be copied.
    """
    contexts = [within, *([LentKernels] if lends else [])]
    change = changed or (lambda copy: copy)
    ran = _run(change(copied(loaded)), plan, contexts, seed, repairs)
    if ran.failed and any(word in ran.words for word in _AWAY):
        return _run(change(copied(loaded)), plan, [*contexts, _Staying], seed, repairs)
    return ran


def copied(loaded: Loaded) -> Loaded:
    """The module and its inputs copied, whatever else they refer to. Raises AnalyzerError where that cannot be."""
    import copy

    try:
        module, inputs = copy.deepcopy((loaded.module, loaded.inputs))
    except Exception as error:
        raise AnalyzerError(f"the model cannot be copied: {first_line(error) or type(error).__name__}") from error
    return replace(loaded, module=module, inputs=inputs)


def _run(
    loaded: Loaded, plan: Plan, within: Sequence[Context], seed: int, repairs: Mapping[Place, str]
) -> Ran:  # fmt: skip
    module, places = loaded.module, SourceLines(loaded.module, loaded.root)
    run, inputs = _prepared(loaded, plan)
    untouched = _states(module)
    repairing = _Repairing(repairs, places)
    torch.manual_seed(seed)
    try:
        with ExitStack() as stack:
            for context in (
                _bounded(), uncompiled(), torch.set_grad_enabled(plan.train), autocast_of(home(plan)), repeatable(),
                repairing if repairs else nullcontext(), covered(plan, module, lambda _: nullcontext()),
                *[make() for make in within],
            ):  # fmt: skip
                stack.enter_context(context)
            result = run(module, inputs)
    except AnalyzerError:
        raise
    except _TooMuchError as error:
        raise AnalyzerError(str(error)) from error
    except Exception as error:
        words = oracle.words(error)
        if any(said in words for said in _NO_MEMORY):
            raise AnalyzerError("it needs more memory than there is") from error
        return Ran(
            words=words, kind=type(error).__name__, place=places.of_error(error)[0], repaired=tuple(repairing.found)
        )
    return Ran(_kept(module, result, plan, untouched), repaired=tuple(repairing.found))


def _prepared(loaded: Loaded, plan: Plan) -> tuple[Run, dict[str, Any]]:
    run: Run = loaded.run or _forward
    if plan.train:
        run = _step(run)
        _train(loaded.module, loaded.inputs)
    if not loaded.steps:
        return run, loaded.inputs
    given = {one.label: variant(loaded.inputs, one) for one in loaded.steps}
    session = Session(loaded.steps, run if plan.train else loaded.run, lambda _: None, lambda *_: None)
    return session, given


def _forward(module: nn.Module, inputs: dict[str, Any]) -> Any:
    return module(**inputs)


def _step(run: Run) -> Run:
    """`run`, followed by the backward pass of its loss unless it ran one itself."""

    def trained(module: nn.Module, inputs: dict[str, Any]) -> object:
        result = run(module, inputs)
        if not any(parameter.grad is not None for parameter in module.parameters()):
            loss = loss_of(result)
            if loss is not None:
                loss.backward()  # type: ignore[no-untyped-call]
        return result

    return trained


def _train(module: nn.Module, inputs: object) -> None:
    """Training mode without anything that is drawn at random, as runs in two dtypes draw other numbers."""
    module.train()
    for part in module.modules():
        for name, value in list(vars(part).items()):
            if type(value) is float and ("drop" in name or (name == "p" and isinstance(part, _DropoutNd))):
                setattr(part, name, 0.0)
    require_gradients(module, inputs)


def _kept(
    module: nn.Module, result: object, plan: Plan, untouched: Mapping[str, tuple[int, int]]
) -> dict[str, torch.Tensor]:
    """The tensors by which two runs are compared: results, buffers that were written, gradients."""
    found = {f"output {number}": tensor.detach() for number, tensor in enumerate(leaves(result))}
    now = _states(module)
    for name, buffer in module.named_buffers():
        if untouched.get(name) != now[name]:
            found[f"buffer {name}"] = buffer.detach()
    if plan.train:
        graded = ((name, parameter.grad) for name, parameter in module.named_parameters())
        found |= {f"gradient of {name}": grad.detach() for name, grad in graded if grad is not None}
    return found


def _states(module: nn.Module) -> dict[str, tuple[int, int]]:
    """Which tensor each buffer is, and how often its memory was written: a copied view counts for itself alone."""
    buffers = dict(module.named_buffers())
    memories: dict[int, dict[int, int]] = {}
    for buffer in buffers.values():
        memories.setdefault(buffer.untyped_storage().data_ptr(), {})[id(buffer)] = buffer._version
    writes = {memory: sum(versions.values()) for memory, versions in memories.items()}
    return {name: (id(buffer), writes[buffer.untyped_storage().data_ptr()]) for name, buffer in buffers.items()}


class _Staying(TorchFunctionMode):
    """Tensors stay on the CPU, wherever code moves or makes them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        done, args, kwargs = stay(getattr(func, "__name__", ""), args, kwargs or {})
        return args[0] if done else func(*args, **kwargs)


class _Repairing(TorchFunctionMode):
    """Makes a call that is refused at one of some places again, its floats in the dtype that is wanted there."""

    def __init__(self, repairs: Mapping[Place, str], places: SourceLines) -> None:
        super().__init__()
        self._repairs, self._places = repairs, places
        self.found: list[tuple[Place, str]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except (RuntimeError, ValueError, TypeError) as error:
            place = self._places.here()[0]
            wanted = self._repairs.get(place)
            if not wanted:
                raise
            self.found.append((place, oracle.words(error)))
        into = args[:1] if writes_into_first(getattr(func, "__name__", "")) else ()
        dtype = into[0].dtype if into else getattr(torch, wanted)

        def cast(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.to(dtype) if tensor.is_floating_point() else tensor

        rest, named = walk.changed((args[len(into) :], kwargs or {}), torch.Tensor, cast)
        return func(*into, *rest, **named)


class _TooMuchError(BaseException):
    """Thrown at a call of a module where a bound is passed; no handler of the model's may catch it."""


@contextmanager
def _bounded() -> Iterator[None]:
    """While this lasts, a call of a module ends a run that takes too long, or too much memory."""
    end, most = time.thread_time() + SECONDS, resident(os.getpid()) + MEMORY

    def entered(*_: object) -> None:
        if time.thread_time() > end:
            raise _TooMuchError(f"it takes more than {SECONDS:g} s")
        if resident(os.getpid()) > most:
            raise _TooMuchError(f"it needs more than {MEMORY >> 30} GB of memory")

    handle = register_module_forward_pre_hook(entered)
    try:
        yield
    finally:
        handle.remove()
