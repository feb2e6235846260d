"""Higher-order operators: their branches and bodies are run as the Python that they are, and recorded in place."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from threading import Thread
from typing import Any, Final

import torch
from torch._C import DispatchKey
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten

from analyzer import oracle
from analyzer.capture.calls import composite_calls
from analyzer.capture.emulation.compiled import compiling
from analyzer.capture.not_traced import NotTraced
from analyzer.capture.patching import patched
from analyzer.capture.tensor import Abstract, dtype_name
from analyzer.capture.tracing.outcomes import repair_dtype, tensors
from analyzer.capture.tracing.tracer import Tracer

Made = tuple[tuple[tuple[int, ...], tuple[int, ...], torch.dtype] | int, ...]
"""What a branch gives: shape, stride and dtype of each tensor; the number of an operand that it gives back."""
_SAID: dict[object, str] = {}


def run(tracer: Tracer, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of a higher-order operator. Raises NotTraced where it has no kernel in Python."""
    name = operator.name()
    rule = _RULES.get(name)
    if rule is not None:
        return _backward(operator, rule(tracer, operator, *args, **kwargs))
    if name.startswith("triton_kernel"):
        raise NotTraced("a Triton kernel runs on a GPU alone, and is not traced", "trace the model without it")
    return _dense(operator)(*args, **kwargs)


def _backward(operator: Any, result: Any) -> Any:
    """The result; where torch has no gradient for the operator, a backward pass says so, as it really does."""
    kernel = operator.py_kernels.get(DispatchKey.Autograd)
    if not getattr(kernel, "__qualname__", "").startswith("autograd_not_implemented"):
        return result
    words = f"Autograd not implemented for {operator}"
    error: Any = torch._C._functions.DelayedError
    return tree_map_only(torch.Tensor, lambda t: error(words, 1)(t) if t.requires_grad else t, result)


def _dense(operator: Any) -> Callable[..., Any]:
    """The kernel of an operator that runs it step by step; it refuses to run under a mode, and here is one."""
    kernel: Any = operator.py_kernels.get(DispatchKey.CompositeExplicitAutograd)
    if kernel is None:
        raise NotTraced(
            f"the higher-order operator {operator.name()} is not traced", "trace the model without it, or a part of it"
        )

    def unwatched(*args: Any, **kwargs: Any) -> Any:
        with _no_mode(kernel):
            return kernel(*args, **kwargs)

    return unwatched


@contextmanager
def _no_mode(kernel: Any) -> Iterator[None]:
    names = getattr(getattr(kernel, "func", getattr(kernel, "__func__", kernel)), "__globals__", {})
    with ExitStack() as stack:
        if _ASKS in names:
            why = "Kernels of higher-order operators refuse to run while a mode watches."
            what = "the current dispatch mode, in the module of a higher-order operator's kernel"
            stack.enter_context(patched(names, _ASKS, lambda: None, what=what, why=why))
        yield


_ASKS: Final = "_get_current_dispatch_mode"


def _cond(
    tracer: Tracer, _: object, pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any
) -> Any:
    """Both branches, where floats decide; of a known predicate one, and the other for what it would give.

    Older torch runs both, where a gradient may be asked for: then both count.
    """
    known = _known(pred)
    if known is None:
        what = "which branch of torch.cond is taken"
        tracer.inventions.note(what, "the first; both were traced", tracer.source_lines.here()[0])
    idle = nullcontext if known is None or _asked((_ask_both, (), (), ())) else tracer.recorder.muted
    with idle() if known is False else nullcontext():
        first = true_fn(*operands)
    with idle() if known else nullcontext():
        second = false_fn(*operands)
    words = _words(_ask_cond, _made(operands, ()), _made(first, operands), _made(second, operands))
    result = second if known is False else first
    return _agreed(tracer, pred, first, second, result, words) if words else result


def _while(
    tracer: Tracer, _: object, cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried: Any,
    additional: Any = (), **__: object,
) -> Any:  # fmt: skip
    """The rounds that the condition asks for; one, where floats decide."""
    rounds = 0
    while True:
        known = _known(cond_fn(*carried, *additional))
        if known is False or (known is None and rounds):
            break
        if known is None:
            tracer.inventions.note("how often torch.while_loop runs", "once", tracer.source_lines.here()[0])
        after = tuple(tree_leaves(body_fn(*carried, *additional)))
        if words := _words(_ask_while, (), _made(carried, ()), _made(after, ())):
            return _agreed(tracer, None, carried, after, carried, words)  # repaired, it may run for ever
        carried = after
        rounds += 1
    return carried if rounds else tuple(t.clone() if isinstance(t, torch.Tensor) else t for t in carried)


def _scan(tracer: Tracer, operator: Any, combine_fn: Callable[..., Any], init: Any, xs: Any, *rest: Any) -> Any:
    def combined(*args: Any) -> Any:
        made = combine_fn(*args)
        leaves = tree_leaves(made)
        count = len(init)
        kept = _carried(tracer, tuple(args[:count]), tuple(leaves[:count]))
        return made if kept == tuple(leaves[:count]) else [*kept, *leaves[count:]]

    return _dense(operator)(combined, init, xs, *rest)


def _transformed(_: Tracer, operator: Any, *args: Any, **kwargs: Any) -> Any:
    """An autograd function under a transform of `torch.func`, which knows how to run it."""
    with torch._C.DisableTorchFunction():  # else this is asked again
        return operator(*args, **kwargs)


def _carried(tracer: Tracer, before: Any, after: Any) -> Any:
    """What a step hands to the next one, repaired where torch refuses it for being other than what it got."""
    words = _words(_ask_scan, (), _made(before, ()), _made(after, ()))
    return _agreed(tracer, None, before, after, before, words) if words else after


def _agreed(tracer: Tracer, pred: Any, ours: Any, theirs: Any, result: Any, words: str) -> Any:
    """One node for an operator that was refused for what its functions give; its result has one dtype."""
    left, right = tree_leaves(ours), tree_leaves(theirs)
    operands = list(tensors((left, right)))
    home = tracer.home(operands)
    dtype = getattr(torch, home) if home else repair_dtype(None, (operands,), {})
    flat, spec = tree_flatten(result)
    pairs = zip(flat, left, right, strict=True)
    mended = [t.like(dtype) if isinstance(t, Abstract) and a.dtype != b.dtype else t for t, a, b in pairs]
    given = [leaf for leaf in (pred, *left, *right) if isinstance(leaf, torch.Tensor)]
    tracer.calling = None  # its functions cannot be written as text
    repair = composite_calls.Repair(dtype_name(dtype), (), mended)
    made = composite_calls.one_node(tracer, (given,), {}, mended, words, repair)
    return tree_unflatten(made, spec)


def _known(pred: Any) -> bool | None:
    """A predicate's value; None where it depends on floats. Raises NotTraced under `vmap`, where it is many."""
    if not isinstance(pred, torch.Tensor):
        return bool(pred)
    if torch._C._functorch.is_batchedtensor(pred):
        raise NotTraced("control flow of PyTorch inside torch.func.vmap is not traced", "use torch.where")
    value = pred.known if isinstance(pred, Abstract) else pred
    return None if value is None else bool(value)


def _made(result: Any, operands: Sequence[Any]) -> Made:
    given = {id(t): i for i, t in enumerate(operands)}
    leaves = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
    return tuple(given[id(t)] if id(t) in given else (tuple(t.shape), tuple(t.stride()), t.dtype) for t in leaves)


def _words(ask: Callable[..., object], given: Any, ours: Made, theirs: Made) -> str:
    """What torch says of functions that give such tensors; "" if nothing, or if it says as much of equal ones."""
    if ours == theirs and not any(type(one) is int for one in ours):
        return ""
    said = _asked((ask, given, ours, theirs))
    plain = tuple([one if type(one) is not int else given[one] for one in ours])
    return said if said and not _asked((ask, given, plain, plain)) else ""


def _asked(key: Any) -> str:
    """In a thread, as modes are a thread's."""
    if key not in _SAID:
        thread = Thread(target=_ask, args=(key,))
        thread.start()
        thread.join()
    return _SAID[key]


def _ask(key: Any) -> None:
    ask, *facts = key
    _SAID[key] = ""
    try:
        with warnings.catch_warnings(), compiling(), torch.no_grad():
            warnings.simplefilter("ignore")
            ask(*facts)
    except Exception as error:  # whatever a compiler may raise
        _SAID[key] = _essence(error)


def _ask_cond(operands: Any, ours: Made, theirs: Made) -> None:
    given = _tensors(operands)
    torch.cond(torch.tensor(True), lambda *xs: _tensors(ours, xs), lambda *xs: _tensors(theirs, xs), given)


def _ask_both(*_: object) -> None:
    """Raises where a branch is run that is not taken."""
    narrow = torch.zeros(2, 2, dtype=torch.bfloat16)
    given = torch.zeros(2, 2, requires_grad=True)
    torch.cond(torch.tensor(True), lambda x: x.sin(), lambda x: torch.mm(x, narrow).to(x.dtype), (given,))


def _ask_while(_: object, before: Made, after: Made) -> None:
    from torch._higher_order_ops.while_loop import while_loop

    loop: Any = while_loop
    loop(lambda *xs: torch.zeros((), dtype=torch.bool), lambda *xs: _tensors(after), _tensors(before))


def _ask_scan(_: object, before: Made, after: Made) -> None:
    from torch._higher_order_ops.scan import scan

    scan(lambda carry, x: (list(_tensors(after)), x.clone()), list(_tensors(before)), torch.zeros(2, 2))


def _tensors(made: Made, operands: Sequence[torch.Tensor] = ()) -> tuple[torch.Tensor, ...]:
    return tuple([operands[m] if isinstance(m, int) else torch.empty_strided(m[0], m[1], dtype=m[2]) for m in made])


def _essence(error: BaseException) -> str:
    """What an error is about, out of what the compiler writes around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = oracle.words(error)
    inner = re.search(r"got \w+\((['\"])(.*)\1\)", words)
    return (inner[2] if inner else _AROUND.split(words)[0]).strip()


_AROUND: Final = re.compile(r"\n\n|\n  Higher Order Operator|\n  Explanation|, where lhs is")
"""Where the compiler goes on to tell of itself."""
_RULES: Final[dict[str, Callable[..., Any]]] = {
    "cond": _cond, "while_loop": _while, "scan": _scan, "custom_function_call": _transformed,
}  # fmt: skip
"""Operator -> what is run in the place of its kernel."""
