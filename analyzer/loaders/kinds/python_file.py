"""Loads what `build()` of a person's own Python file gives: a module, or a module and its inputs."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from torch import nn

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of
from analyzer.capture.patching import patched, prepended
from analyzer.errors import AnalyzerError
from analyzer.inputs import override
from analyzer.ir.reason import Reason
from analyzer.loaders.adapters import inject
from analyzer.loaders.building import Built, ConstructorLines, to_meta
from analyzer.loaders.constructor import construct_own
from analyzer.loaders.inputs_file import read_inputs_file
from analyzer.loaders.plan_application import apply_plan
from analyzer.loaders.remote_code.environment import current
from analyzer.loaders.remote_code.importing import lend, plain_path, user_code
from analyzer.loaders.request import ModelRequest
from analyzer.loaders.unsupported_plan import refuse

_WANTED: Final = "def build(): return module, {'x': torch.ones(1, 3)}"
_NAME: Final = "_built_"
"""The name of the file as a module: it is no script, and has no `__main__`."""


def load(request: ModelRequest, settings: object) -> Loaded:
    """Run the file, which a person names and so trusts, and what its `build()` gives.

    It may also define `inputs()`, the keyword arguments of forward, and `run(model, inputs)`. Raises AnalyzerError
    for whatever keeps it from giving a module.
    """
    path, plan = request.path, request.plan
    refuse(plan, "a module that build() makes", "dtype")
    root = plain_path(path.parent)
    file = _import(path)
    build = getattr(file, "build", None)
    if not callable(build):
        raise AnalyzerError(f"{path} has no function build", hint=_WANTED)
    lines = ConstructorLines(root)
    with user_code(path.parent, f"calling build() of {path.name}"), lines.watch():
        made = construct_own(build)
        module, values = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        if not isinstance(module, nn.Module):
            raise AnalyzerError(f"build() in {path} returned {type(module).__name__}, no module", hint=_WANTED)
        values = _inputs(file, request.inputs_file, values, module)
    to_meta(module)
    module.eval()
    names = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    reason = Reason(f"as build() of {path.name} made it", "built_by_constructor")
    built = Built(module, dict.fromkeys(names, reason), lines.by_name(module))
    notes: tuple[Any, ...] = ()
    if plan.adapter:
        built, remarks, _ = inject(built, plan, root)
        notes = tuple(remarks)
    reasons = apply_plan(built.module, plan, built.reasons)
    return Loaded(
        module=built.module,
        name=type(built.module).__name__,
        path=str(path),
        inputs=override(values[0], plan.input_dtypes),
        run=values[1],
        reasons=reasons,
        places=built.places,
        root=root,
        assumptions=notes,
        inventory=inventory_of(built.module, reasons=reasons, places=built.places),
    )


def _import(path: Path) -> Any:
    place = current()
    folder = plain_path(path.parent)
    place.entries.append((path.parent, path.stem))
    place.forget()  # a file beside it that was loaded from another folder, or edited
    place.stack.enter_context(prepended(sys.path, folder, what="sys.path", why="A script finds the files beside it."))
    with user_code(path.parent, f"importing {path.name}"):
        lend(path.parent, path.stem)
        spec = importlib.util.spec_from_file_location(_NAME + path.stem, plain_path(path))
        assert spec is not None and spec.loader is not None  # its suffix is .py
        module = importlib.util.module_from_spec(spec)
        place.stack.enter_context(
            patched(
                sys.modules, spec.name, module, what="sys.modules: the file with build()",
                why="Dataclasses and pickle look its classes up by the name of their module.",
            )
        )  # fmt: skip
        spec.loader.exec_module(module)
    return module


def _inputs(file: Any, inputs_file: Path | None, given: object, module: nn.Module) -> tuple[dict[str, Any], Any]:
    """The inputs by name, from the inputs file, else from `inputs()`, else from `build()`; and how they are run."""
    own = getattr(file, "run", None)
    if inputs_file is not None:
        values, run = read_inputs_file(inputs_file, getattr(module, "config", None), inspect.signature(module.forward))
        return values, run or own
    make = getattr(file, "inputs", None)
    if callable(make):
        taken = inspect.signature(make).parameters
        given = construct_own(lambda: make(*[getattr(module, "config", None)][: len(taken)]))
    if isinstance(given, dict):
        return given, own
    if given is None:
        raise AnalyzerError(
            f"{file.__file__} gives no inputs", hint="define inputs() returning a dict, or pass --inputs"
        )
    args = given if isinstance(given, (tuple, list)) else (given,)
    names = _names(module, args)
    if len(names) == len(args):
        return dict(zip(names, args, strict=True)), own
    run = own or (lambda model, inputs: model(*inputs.values()))
    return {str(number): value for number, value in enumerate(args)}, run


def _names(module: nn.Module, args: Sequence[object]) -> list[str]:
    """What forward calls its arguments; none where they cannot be given by name."""
    signature = inspect.signature(module.forward)
    try:
        names = list(signature.bind_partial(*args).arguments)
    except TypeError:  # its own `run` may take more than forward does
        return []
    by_name = all(signature.parameters[name].kind == inspect.Parameter.POSITIONAL_OR_KEYWORD for name in names)
    return names if by_name else []
