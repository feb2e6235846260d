"""Loads a program that `torch.export.save` wrote: its graph runs node by node, at the lines that it was made from."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, Final

import torch
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_leaves, tree_unflatten

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of
from analyzer.capture.patching import patched
from analyzer.capture.source_lines import told
from analyzer.errors import AnalyzerError
from analyzer.inputs import override
from analyzer.ir.findings import Assumption
from analyzer.ir.graph import Place
from analyzer.ir.reason import Reason
from analyzer.loaders.building import to_meta
from analyzer.loaders.exported import checked, interpreted
from analyzer.loaders.inputs_file import read_inputs_file
from analyzer.loaders.plan_application import apply_plan
from analyzer.loaders.remote_code.environment import current
from analyzer.loaders.request import ModelRequest
from analyzer.loaders.unsupported_plan import refuse

_LINE: Final = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH: Final = str(Path(torch.__file__).parent)


def load(request: ModelRequest, settings: object) -> Loaded:
    """The program as `torch.export.load(path).module()` runs it; weights are read once, and dropped.

    Raises AnalyzerError for a file that cannot be read, or holds pickled objects and is not trusted.
    """
    path, plan = request.path, request.plan
    refuse(plan, "an exported program", "dtype", "adapter", "train")
    current().stack.enter_context(interpreted(lambda graph, args: _PlacedInterpreter(graph).run(*args)))
    program = _read(path, trust=request.trust_remote_code)
    module = _unlifted(program)
    to_meta(module)
    names = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    reasons = apply_plan(module, plan, dict.fromkeys(names, Reason("as it was exported", "exported")))
    given, spec, notes = _inputs(program)
    module._forward_pre_hooks.clear()  # they check what the nodes themselves do
    module.forward = _forward(module, list(given), spec)
    run: Any = None
    if request.inputs_file is not None:
        taken = Signature([Parameter(name, Parameter.KEYWORD_ONLY) for name in given])
        values, own = read_inputs_file(request.inputs_file, None, taken)
        given, run, notes = {name: values[name] for name in given} if own is None else values, own, []
    return Loaded(
        module=module,
        name=path.name,
        path=str(path),
        inputs=override(given, plan.input_dtypes),
        run=run,
        reasons=reasons,
        assumptions=tuple(notes),
        inventory=inventory_of(module, reasons=reasons),
    )


def _read(path: Path, *, trust: bool) -> Any:
    """The program; what is not plain is handed to torch as it is where it is trusted, and else refused."""
    try:
        held = checked(path)
    except AnalyzerError:
        if not trust:
            raise
        with _torch_reads(path):
            return torch.export.load(path)
    with _torch_reads(path), nullcontext() if trust else _without_pickles():
        return torch.export.load(held)


@contextmanager
def _without_pickles() -> Iterator[None]:
    def refused(*_: object, **__: object) -> Any:
        raise pickle.UnpicklingError

    plain = torch.load

    def load(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **{**kwargs, "weights_only": True})

    why = "An exported program holds pickles, and without trust none is run."
    with patched(pickle, "loads", refused, why=why), patched(torch, "load", load, why=why):
        yield


@contextmanager
def _torch_reads(path: Path) -> Iterator[None]:
    """Whatever torch says of a broken file, or of one by another torch, in one line."""
    logged = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it logs whole tracebacks
    try:
        yield
    except pickle.UnpicklingError as error:
        hint = "where you trust the file, pass --trust-remote-code"
        raise AnalyzerError(f"{path} holds pickled objects", hint=hint) from error
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        hint = f"is it a whole file that torch.export.save of torch {torch.__version__} or older wrote?"
        raise AnalyzerError(f"cannot load {path}: {type(error).__name__}: {said}", hint=hint) from error
    finally:
        logging.disable(logged)


def _unlifted(program: Any) -> Any:
    """Its module, without the guards that torch makes of the inputs: it writes them as Python, and runs that."""
    if "check_guards" in signature(program.module).parameters:
        return program.module(check_guards=False)
    return program.module()


def _inputs(program: Any) -> tuple[dict[str, Any], Any, list[Assumption]]:
    """The example inputs by name, how they go in, and what was made up where the file holds none."""
    specs = [one for one in program.graph_signature.input_specs if one.kind is InputKind.USER_INPUT]
    names = [one.arg.name or f"input_{number}" for number, one in enumerate(specs)]  # of a constant it may be ""
    constants = {name: one.arg.value for name, one in zip(names, specs, strict=True) if hasattr(one.arg, "value")}
    spec = program.call_spec.in_spec
    if program.example_inputs is not None:
        values = tree_leaves(program.example_inputs)
        return dict(zip(names, values, strict=True)), spec, []
    kept = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    made = {name: constants[name] if name in constants else _made(kept.get(name)) for name in names}
    notes = [Assumption.of_input(name, "made like the one of the export") for name in made]
    return made, spec, notes


def _made(value: object) -> object:
    if not isinstance(value, torch.Tensor):
        return value
    sizes = [int(n.node.hint) if isinstance(n, torch.SymInt) else n for n in value.shape]
    return torch.zeros(sizes, dtype=value.dtype)


def _forward(module: Any, names: Sequence[str], spec: Any) -> Callable[..., Any]:
    """The program's forward: takes what the module took, or every tensor of that by its name in the program."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not args and set(kwargs) == set(names):
            args, kwargs = tree_unflatten([kwargs[name] for name in names], spec)
        return _PlacedInterpreter(module).run(*torch.fx._pytree.tree_flatten_spec((args, kwargs), module._in_spec))

    return forward


class _PlacedInterpreter(torch.fx.Interpreter):
    """Runs the nodes, telling for each which line and which module it comes from."""

    def run_node(self, n: torch.fx.Node) -> object:
        """One node; the checks that the export put before the first one are left to it."""
        if n.op == "call_module" and str(n.target).startswith("_guards"):
            return None
        stack = n.meta.get("nn_module_stack") or {}
        module = list(stack.values())[-1][0] if stack else ""
        with told(_place(n.meta.get("stack_trace") or ""), str(module)):
            return super().run_node(n)

    def fetch_attr(self, target: str) -> object:
        """A tensor or a graph of the program by its name, and nothing else that Python finds there."""
        value: Any = self.module
        for part in target.split("."):
            inside = isinstance(value, torch.nn.Module)
            tables = (value._modules, value._parameters, value._buffers, vars(value)) if inside else ()
            value = next((table[part] for table in tables if part in table), None)
        if not isinstance(value, (torch.Tensor, torch.nn.Module)):
            raise AnalyzerError(
                f"the program names {target[:80]}, which is no tensor and no graph", hint="export it again"
            )
        return value


def _place(trace: str) -> Place:
    """The innermost line outside torch of a trace as Python prints it."""
    lines = [(file, int(line)) for file, line in _LINE.findall(trace) if not file.startswith(_TORCH)]
    return Place(*lines[-1]) if lines else Place()
