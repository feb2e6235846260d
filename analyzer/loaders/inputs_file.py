"""Reads a person's inputs file: `inputs(config) -> dict`, and optionally `run(model, inputs)`."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any, Final

from torch import nn

from analyzer.capture.patching import patched
from analyzer.errors import AnalyzerError, suggest
from analyzer.inputs import DEFAULT_NAME, Inputs, Wishes, given, made_up
from analyzer.inputs.calls.calling import Run, call_of, drivers
from analyzer.ir.findings import Assumption
from analyzer.loaders.inner_models.tokenizers import of_folder
from analyzer.loaders.remote_code.environment import current
from analyzer.loaders.remote_code.importing import plain_path, user_code
from analyzer.loaders.remote_code.processors import processed_by
from analyzer.loaders.request import ModelRequest

_TOKENIZER: Final = "tokenizer"
_WANTED: Final = "define inputs(config) returning the keyword arguments of forward as a dict"


def inputs_of(model: nn.Module, config: object, request: ModelRequest, dtype: str) -> Inputs:
    """Inputs from the inputs file where there is one, else made up; float ones in `dtype` unless the plan says."""
    plan, file, own = request.plan, request.inputs_file, request.path / DEFAULT_NAME
    notes: list[Assumption] = []
    if file is None and own.is_file():
        if request.trust_remote_code:
            file = own
        else:
            what = f"{DEFAULT_NAME} in the model folder"
            notes.append(Assumption(what, "not run without --trust-remote-code", DEFAULT_NAME))
    if file is None:
        try:
            processed, why = (
                ({}, "") if request.text_only else processed_by(request.path, trust=request.trust_remote_code)
            )
            notes += [Assumption("the folder's processor", f"not used: {why}")] if why else []
            if request.trust_remote_code and _TOKENIZER not in processed and _takes_tokenizer(model):
                tokenizer, said = of_folder(request.path)
                processed = {**processed, _TOKENIZER: tokenizer}
                notes += [Assumption("the folder's tokenizer", said)] if said else []
            return made_up(model, config, plan, dtype, Wishes(tuple(notes), processed, request.text_only))
        except (TypeError, ValueError, AttributeError, KeyError, IndexError, RuntimeError, ArithmeticError) as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            hint = "is a value in its config odd? give inputs with --inputs FILE"
            raise AnalyzerError(f"cannot make up inputs for {type(model).__name__}: {said}", hint=hint) from error
    signature, driven = _called(model)
    values, run = read_inputs_file(file, config, signature)
    return given(model, config, plan, dtype, values, run or driven)


def _takes_tokenizer(model: nn.Module) -> bool:
    """Whether what is called of a model, or may be, takes a tokenizer."""
    calls = (call_of(model, name) for name in drivers(model) or [""])
    return any(_TOKENIZER in call.signature.parameters for call in calls)


def _called(model: nn.Module) -> tuple[inspect.Signature, Run | None]:
    """The arguments that a file gives: those of forward, or of the method that drives a class without one."""
    if type(model).forward is not nn.Module.forward:
        return inspect.signature(model.forward), None
    call = call_of(model)
    return call.signature, call.run


def read_inputs_file(file: Path, config: object, signature: inspect.Signature) -> tuple[dict[str, Any], Run | None]:
    """The inputs that the file makes for a model with this config, and its `run` if it has one."""
    if not file.is_file():
        raise AnalyzerError(f"no such inputs file: {file}", hint="pass the path of a Python file with --inputs")
    module = _import(file)
    make, run = getattr(module, "inputs", None), getattr(module, "run", None)
    if not callable(make):
        raise AnalyzerError(f"{file} has no function inputs", hint=_WANTED)
    if run is not None and not callable(run):
        raise AnalyzerError(f"run in {file} is no function", hint="define run(model, inputs), or drop it")
    with user_code(file.parent, f"calling inputs(config) of {file.name}"):
        values = make(config)
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise AnalyzerError(f"inputs(config) in {file} returned {type(values).__name__}, not a dict", hint=_WANTED)
    if run is None:
        _check_names(values, file, signature)
    return values, run


def _import(file: Path) -> Any:
    digest = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]
    name = f"_inputs_{digest}"
    spec = importlib.util.spec_from_file_location(name, plain_path(file))
    if spec is None or spec.loader is None:
        raise AnalyzerError(f"{file} is no Python file", hint="its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    current().stack.enter_context(
        patched(
            sys.modules, name, module, what="sys.modules: the inputs file",
            why="Dataclasses and pickle look its classes up by the name of their module.",
        )
    )  # fmt: skip
    with user_code(file.parent, f"importing {file.name}"):
        spec.loader.exec_module(module)
    return module


def _check_names(values: dict[str, object], file: Path, signature: inspect.Signature) -> None:
    parameters = signature.parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for name in values:
            if name not in signature.parameters:
                raise AnalyzerError(
                    f"inputs(config) in {file} gives '{name}', which forward does not take",
                    hint=suggest(name, signature.parameters),
                )
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    missing = [p.name for p in plain if p.default is p.empty and p.name not in values]
    if missing:
        raise AnalyzerError(f"inputs(config) in {file} lacks '{missing[0]}', which forward requires", hint=_WANTED)
