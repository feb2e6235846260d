"""Loads a diffusers pipeline: its parts without weights, chained by the pipeline's own code for one denoising step."""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import Any, Final

from torch import nn

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of
from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Assumption
from analyzer.ir.plan import Plan
from analyzer.loaders.building import Built, build
from analyzer.loaders.files.checkpoint_headers import read_headers
from analyzer.loaders.files.json_files import read_settings
from analyzer.loaders.inputs_file import read_inputs_file
from analyzer.loaders.kinds.diffusers_component import build_part, find_class, is_prepared, quiet, saved_of
from analyzer.loaders.kinds.transformers_folder import dtype_of
from analyzer.loaders.limits import check_file
from analyzer.loaders.offline_processors import StandInExtractor, StandInTokenizer
from analyzer.loaders.plan_application import apply_plan
from analyzer.loaders.remote_code.importing import plain_path, user_code
from analyzer.loaders.request import ModelRequest, Progress
from analyzer.loaders.unsupported_plan import refuse

_CALL: Final[dict[str, object]] = {
    "prompt": "a photograph",
    "num_inference_steps": 1,
    "output_type": "pt",
    "return_dict": False,
}
"""How a pipeline is called: one denoising step, and the picture as a tensor."""
_CONFIGS: Final = ("config.json", "scheduler_config.json", "preprocessor_config.json")
"""What says how large the parts of a pipeline are."""


def load(request: ModelRequest, settings: dict[str, Any]) -> Loaded:
    """The pipeline as `DiffusionPipeline.from_pretrained(root, torch_dtype=plan.dtype)` puts it together."""
    root, plan = request.path, request.plan
    refuse(plan, "a diffusers pipeline", "adapter", "train")
    cls = find_class("diffusers", settings.get("_class_name"), root)
    entries = {k: v for k, v in settings.items() if isinstance(v, list) and len(v) == 2 and k[0] != "_"}
    notes: list[Assumption] = []
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        built, parts = _parts(root, entries, plan, notes, request.progress)
        _introduce(parts)
        plain = {k: v for k, v in settings.items() if k not in entries and k[0] != "_"}
        taken = inspect.signature(cls.__init__).parameters
        with user_code(root, f"making the {cls.__name__}"):
            pipeline = cls(**{k: v for k, v in {**plain, **parts}.items() if k in taken})
    pipeline.set_progress_bar_config(disable=True)
    module = _whole(cls.__name__, pipeline, {name: one.module for name, one in built.items()})
    reasons = _merged(built, "reasons")
    places = _merged(built, "places")
    reasons = apply_plan(module, plan, reasons)
    values, run = _inputs(cls, inspect.signature(pipeline.__call__), request.inputs_file, settings, notes)
    if plan.input_dtypes:
        raise AnalyzerError("a pipeline makes its own tensors: there is no input to set a dtype for",
                            hint="--set gives a part another dtype")  # fmt: skip
    saved = {f"{part}.{name}": fact for part, one in built.items() for name, fact in saved_of(one).items()}
    return Loaded(
        module=module,
        name=cls.__name__,
        path=str(root),
        inputs=values,
        run=run,
        reasons=reasons,
        places=places,
        root=plain_path(root),
        assumptions=tuple(notes),
        inventory=inventory_of(module, reasons=reasons, places=places, saved=saved),
        parts=tuple(built),
    )


def _parts(
    root: Path, entries: dict[str, Any], plan: Plan, notes: list[Assumption], say: Progress
) -> tuple[dict[str, Built], dict[str, Any]]:
    """The models among the parts as they were built, and every part that the pipeline takes, None where it has none."""
    built: dict[str, Built] = {}
    parts: dict[str, Any] = {}
    for name, (library, class_name) in entries.items():
        say(f"building {name}")
        parts[name] = None
        if class_name is None:
            continue
        cls = find_class(library, class_name, root)
        folder = root / name
        if not folder.is_dir() and not is_prepared(class_name):
            raise AnalyzerError(f"{root / 'model_index.json'} names {name}, but {folder} is missing",
                                hint="download the pipeline's other folders too")  # fmt: skip
        made = _part(cls, class_name, folder, plan, notes)
        if isinstance(made, Built):
            built[name], made = made, made.module
        parts[name] = made
    return built, parts


def _inputs(
    cls: type, signature: inspect.Signature, file: Path | None, settings: dict[str, object], notes: list[Assumption]
) -> tuple[dict[str, Any], Any]:
    """What the pipeline is called with, and how, from the inputs file; else values of our own, each noted."""
    if file is not None:
        return read_inputs_file(file, settings, signature)
    values = {name: value for name, value in _CALL.items() if name in signature.parameters}
    notes += [Assumption(f"input {name}", str(value)) for name, value in values.items()]
    _check(cls, signature, values)
    return values, None


def _part(cls: Any, name: str, folder: Path, plan: Plan, notes: list[Assumption]) -> Any:
    """A part of a pipeline: built without weights, read from its config, or stood in for."""
    from diffusers import DiffusionPipeline
    from diffusers.configuration_utils import ConfigMixin
    from transformers import PreTrainedModel

    for file in _CONFIGS:
        check_file(folder / file)
    if is_prepared(name):
        return StandInTokenizer(folder) if "Tokenizer" in name else StandInExtractor(folder)
    if issubclass(cls, PreTrainedModel):
        with user_code(folder, f"reading config.json with {cls.config_class.__name__}"):
            config = cls.config_class.from_pretrained(str(folder), local_files_only=True)
        stored = read_headers(folder).tensors
        dtype, assumed = dtype_of(config, plan, stored, read_settings(folder / "config.json"))
        notes += assumed
        return build(cls, config, dtype, folder, stored)
    if issubclass(cls, nn.Module):
        return build_part(cls, folder, read_settings(folder / "config.json"), plan.dtype)
    if not issubclass(cls, ConfigMixin) or issubclass(cls, DiffusionPipeline):
        raise AnalyzerError(f"{folder} is a {name}, which is not traced", hint="only models and schedulers are")
    with user_code(folder, f"reading the {name}"):
        return cls.from_pretrained(str(folder), local_files_only=True)


def _introduce(parts: dict[str, object]) -> None:
    """Tell each tokenizer of the encoder that reads what it makes, which has the same number."""
    for name, part in parts.items():
        if isinstance(part, StandInTokenizer):
            encoder = parts.get(name.replace("tokenizer", "text_encoder"))
            part.know(getattr(encoder, "config", None))


def _whole(name: str, pipeline: Any, parts: dict[str, nn.Module]) -> nn.Module:
    """A module that holds the pipeline's models under their names, and whose forward is the pipeline's call."""

    def forward(self: object, **kwargs: Any) -> Any:
        with warnings.catch_warnings(), quiet():
            warnings.simplefilter("ignore")
            return pipeline(**kwargs)

    made: nn.Module = type(name, (nn.Module,), {"forward": forward})()
    for key, part in parts.items():
        made.add_module(key, part)
    return made


def _merged(built: dict[str, Built], field: str) -> dict[str, Any]:
    return {f"{part}.{name}": fact for part, one in built.items() for name, fact in getattr(one, field).items()}


def _check(cls: Any, signature: inspect.Signature, values: dict[str, object]) -> None:
    for name, parameter in signature.parameters.items():
        required = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if required and name not in values:
            raise AnalyzerError(f"cannot make up the argument '{name}' of {cls.__name__}", hint="give it with --inputs")
