"""Loads a timm folder, as `push_to_hf_hub` writes it: the architecture that its config.json names, without weights."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import Any, Final

import torch

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of
from analyzer.capture.patching import GONE, reset
from analyzer.errors import AnalyzerError, did_you_mean
from analyzer.inputs import override
from analyzer.ir.findings import Assumption
from analyzer.ir.plan import Plan
from analyzer.ir.reason import Reason
from analyzer.loaders.building import Built, ConstructorLines, to_meta
from analyzer.loaders.checkpoint_names import match
from analyzer.loaders.constructor import construct_own
from analyzer.loaders.files.checkpoint_headers import read_headers
from analyzer.loaders.inputs_file import read_inputs_file
from analyzer.loaders.kinds.diffusers_component import saved_of
from analyzer.loaders.plan_application import apply_plan
from analyzer.loaders.remote_code.environment import current
from analyzer.loaders.remote_code.importing import plain_path, user_code
from analyzer.loaders.request import ModelRequest
from analyzer.loaders.unsupported_plan import refuse

_IMAGE: Final = (3, 224, 224)
_OF_WEIGHTS: Final = frozenset(
    {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "scriptable"}
)
"""Arguments of `timm.create_model` that say where weights come from, which are never read."""


def load(request: ModelRequest, settings: dict[str, Any]) -> Loaded:
    """The model as `timm.create_model("local-dir:FOLDER")` makes it, in float32; `plan.to` casts it.

    Raises AnalyzerError where timm is not there, or does not know the architecture.
    """
    root, plan = request.path, request.plan
    refuse(plan, "a timm model", "dtype", "adapter")
    if not find_spec("timm"):
        raise AnalyzerError(f"{root} needs the package timm, which is not installed", hint="pip install timm")
    if not find_spec("torchvision"):
        current().finder.add("torchvision")  # timm's data room imports it; none of its models calls it
        current().stack.callback(_forget)
    name, arguments = str(settings["architecture"]), settings.get("model_args") or {}
    if not isinstance(arguments, dict):
        raise AnalyzerError(f"{root / 'config.json'}: model_args is no object", hint="save the model again")
    arguments = {key: value for key, value in arguments.items() if key not in _OF_WEIGHTS}
    lines = ConstructorLines(plain_path(root))
    if isinstance(classes := settings.get("num_classes"), int):
        arguments.setdefault("num_classes", classes)
    with user_code(root, f"building {name}"), lines.watch():
        import timm

        if not timm.is_model(name):
            raise AnalyzerError(
                f"timm {timm.__version__} knows no architecture '{name}'",
                hint=did_you_mean(name, timm.list_models()) or "a newer timm may know it",
            )
        module = construct_own(lambda: timm.create_model(name, pretrained=False, **arguments))
    to_meta(module)
    module.eval()
    tensors = [*module.named_parameters(), *module.named_buffers()]
    saved, unused = match(module, read_headers(root).tensors)
    made = {key: f"made in {str(one.dtype)[6:]} by timm.create_model" for key, one in tensors}
    reasons = {key: Reason(text, "built_by_constructor") for key, text in made.items()}
    built = Built(module, reasons, lines.by_name(module), saved, unused)
    reasons = apply_plan(module, plan, reasons)
    values, run, notes = _inputs(settings, plan, request.inputs_file, module)
    return Loaded(
        module=module,
        name=f"{type(module).__name__} ({name})",
        path=str(root),
        inputs=override(values, plan.input_dtypes),
        run=run,
        reasons=reasons,
        places=built.places,
        root=plain_path(root),
        assumptions=tuple(notes),
        inventory=inventory_of(module, reasons=reasons, places=built.places, saved=saved_of(built)),
    )


def _inputs(settings: dict[str, Any], plan: Plan, file: Path | None, module: Any) -> tuple[dict[str, Any], Any, Any]:
    """One image of the size that the config names, in the dtype that the model is cast to."""
    if file is not None:
        return *read_inputs_file(file, settings, signature(module.forward)), []
    size = _size(settings)
    dtype = plan.to or "float32"
    name = next(iter(signature(module.forward).parameters))
    note = Assumption.of_input(name, f"{dtype} {(1, *size)}")
    return {name: torch.zeros((1, *size), dtype=getattr(torch, dtype))}, None, [note]


def _size(settings: dict[str, Any]) -> tuple[int, ...]:
    """Channels, height and width of an image. Raises AnalyzerError where the config names none."""
    config = settings.get("pretrained_cfg")
    given = (config.get("input_size") if isinstance(config, dict) else None) or _IMAGE
    if not (isinstance(given, list | tuple) and len(given) == 3 and all(type(n) is int and n > 0 for n in given)):
        raise AnalyzerError(f"config.json: input_size is {given!r}, no size of an image", hint="save the model again")
    return tuple(given)


def _forget() -> None:
    """A timm that was imported beside a stand-in is not for anybody else."""
    for name in [name for name in sys.modules if name.split(".")[0] == "timm"]:
        reset(
            sys.modules, name, GONE, what="sys.modules: timm", versions="where torchvision is missing",
            why="It was imported beside a stand-in for torchvision.",
        )  # fmt: skip
