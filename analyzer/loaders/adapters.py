"""Puts a PEFT adapter into a model without weights, with peft's own code on fake tensors."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from analyzer.capture.patching import patched
from analyzer.errors import AnalyzerError, suggest
from analyzer.foreign import check_folder
from analyzer.ir.findings import Assumption
from analyzer.ir.graph import Place
from analyzer.ir.plan import Plan
from analyzer.ir.reason import Reason
from analyzer.loaders.building import Built, ConstructorLines
from analyzer.loaders.fake_tensors import bare, faked, leaves
from analyzer.loaders.files.checkpoint_headers import ADAPTER_FILES, Checkpoint, Stored, read_headers
from analyzer.loaders.files.json_files import read_settings
from analyzer.loaders.frameworks.linear_names import linear_names
from analyzer.loaders.limits import check_file, check_limits
from analyzer.loaders.quantised.kbit import known_to_peft
from analyzer.running.real_runs.real_tensors import are_real

_CONFIG: Final = "adapter_config.json"
_RECIPE: Final = "the adapter of the recipe"
"""Where an adapter without a folder comes from, in words."""
_NAME: Final = "default"
"""The name that peft gives an adapter when a person gives none."""
_UNWRAPPED: Final = "run as on plain linear layers: bitsandbytes is not installed (pip install bitsandbytes)"
_MEGATRON: Final = "megatron.core"
"""The module that peft imports for layers of Megatron."""
_HALVES: Final = (torch.float16, torch.bfloat16)


def inject(built: Built, plan: Plan, root: str) -> tuple[Built, list[Assumption], tuple[str, ...]]:
    """The model as `PeftModel.from_pretrained(model, adapter)` leaves it, notes, and what is made anew.

    The adapter lies in the plan's folder, else the recipe makes it. Without weights beside the config it is as
    `get_peft_model(model, config)` leaves it. Under a plan that trains, the adapter is trainable. Raises AnalyzerError
    for an adapter that cannot be read or does not fit.
    """
    where, config, checkpoint, notes = _asked(plan, built.module)
    names = {(id(m), leaf): name for m, leaf, name in leaves(built.module)}
    lines = ConstructorLines(root)
    prompts = config.is_prompt_learning
    # peft neither moves nor casts adapters of layers on meta: fake tensors say that they are on the CPU. Prompt
    # learning never looks, and keeps a plain tensor that has to stay real.
    with (
        nullcontext() if prompts or are_real() else faked(built.module),
        _peft_code(where),
        known_to_peft(built.module) as known,
    ):
        with lines.watch():
            model = _wrapped(built.module, config, plan)
        saved, unused = _load(model, config, checkpoint.tensors) if checkpoint.complete else ({}, [])
        if hasattr(model.base_model, "_cast_adapter_dtype"):
            model.base_model._cast_adapter_dtype(_NAME, autocast_adapter_dtype=plan.autocast_adapter_dtype)
    if not are_real():
        bare(model)
    model.eval()
    if not known:
        notes.append(Assumption("adapters on a bitsandbytes base", _UNWRAPPED, _CONFIG))
    if unused:
        shown = ", ".join(unused[:3]) + (", ..." if len(unused) > 3 else "")
        notes.append(Assumption(f"adapter tensors that the model has no place for: {shown}", "left out, as peft does"))
    fresh = () if checkpoint.complete else tuple(name for m, leaf, name in leaves(model) if (id(m), leaf) not in names)
    moved = _moved(built, model, names, lines.by_name(model), saved, plan)
    return moved, notes, tuple(f"^{re.escape(name)}$" for name in fresh)


def _asked(plan: Plan, model: nn.Module) -> tuple[str, Any, Checkpoint, list[Assumption]]:
    """Where an adapter comes from, its config, the headers of its weights, and what to say of these."""
    if not plan.adapter:
        return _RECIPE, _from_recipe(plan, model), Checkpoint(), []
    folder = Path(plan.adapter)
    config, checkpoint = _config(folder, trains=plan.train), read_headers(folder, ADAPTER_FILES)
    missing = Assumption("no weights of the adapter", "as get_peft_model makes it", _CONFIG)
    return str(folder), config, checkpoint, [] if checkpoint.complete else [missing]


def _from_recipe(plan: Plan, model: nn.Module) -> Any:
    """The config of the adapter that a recipe asks for. Raises AnalyzerError for settings that peft does not take."""
    if plan.preparation is None:
        raise AnalyzerError("the plan has no adapter", hint="give --adapter DIR")
    settings, rule = dict(plan.preparation.adapter), plan.preparation.linear_names
    check_limits(_RECIPE, settings)
    _check_names(_RECIPE, settings)
    cls = _config_class(settings.pop("peft_type", None), _RECIPE)
    if rule:
        given: Any = settings.get("target_modules") or []
        listed = [given] if isinstance(given, str) else list(given)
        settings["target_modules"] = list(dict.fromkeys([*listed, *linear_names(model, rule)]))
    with _peft_code(_RECIPE):
        config = cls(**settings)
    config.inference_mode = not plan.train
    return config


def _check_names(where: str, settings: dict[str, Any]) -> None:
    """Raises AnalyzerError for settings by which peft imports a module, or loads a tokenizer that may bring code."""
    if settings.get("megatron_config") and settings.get("megatron_core", _MEGATRON) != _MEGATRON:
        raise AnalyzerError(
            f"{where} names the module {settings['megatron_core']!r}", hint=f"only {_MEGATRON} is known"
        )
    if settings.get("tokenizer_kwargs"):
        raise AnalyzerError(f"{where} has tokenizer_kwargs", hint="no code of a tokenizer is loaded: remove them")


def _config(folder: Path, *, trains: bool) -> Any:
    file = folder / _CONFIG
    if not file.is_file():
        raise AnalyzerError(f"no {_CONFIG} in {folder}", hint="give the folder that PeftModel.save_pretrained wrote")
    check_folder(folder)
    check_file(file)
    settings = read_settings(file)
    _check_names(str(file), settings)
    cls = _config_class(settings.get("peft_type"), str(file))
    with _peft_code(str(folder)):
        config = cls.from_pretrained(str(folder))
    config.inference_mode = not trains
    return config


def _config_class(kind: Any, where: str) -> Any:
    if not find_spec("peft"):
        raise AnalyzerError("an adapter needs the package peft, which is not installed", hint="pip install peft")
    with _peft_code(where):
        from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds: dict[Any, Any] = dict(PEFT_TYPE_TO_CONFIG_MAPPING)
    if not isinstance(kind, str) or kind not in kinds:
        known = [str(getattr(one, "value", one)) for one in kinds]
        said = f"peft {version('peft')} knows no peft_type {kind!r}" if kind else f"{where} has no peft_type"
        raise AnalyzerError(said, hint=suggest(str(kind).upper(), known))
    return kinds[kind]


def _wrapped(module: nn.Module, config: Any, plan: Plan) -> Any:
    from peft import MODEL_TYPE_TO_PEFT_MODEL_MAPPING, PeftModel

    cls = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)
    return cls(module, config, _NAME, autocast_adapter_dtype=plan.autocast_adapter_dtype)


def _load(model: Any, config: Any, stored: dict[str, Stored]) -> tuple[dict[str, Stored], list[str]]:
    """Let peft load tensors of the stored dtypes; what each tensor of the model gets, and what is left over."""
    from peft import set_peft_model_state_dict

    device = "meta" if config.is_prompt_learning else "cpu"
    values = {name: torch.empty(s.shape, dtype=getattr(torch, s.dtype), device=device) for name, s in stored.items()}
    shard = next(iter(stored.values())).shard if stored else ""
    given: dict[str, torch.Tensor] = {}
    load = model.load_state_dict

    def noting(state: dict[str, torch.Tensor], *args: object, **kwargs: object) -> object:
        given.update(state)
        return load(state, *args, **kwargs)

    with patched(
        model, "load_state_dict", noting, what="load_state_dict of the one model that peft has wrapped",
        why="What peft gives it says which tensors it reads, and in which dtypes.",
    ):  # fmt: skip
        result: Any = set_peft_model_state_dict(model, values, adapter_name=_NAME)
    names = dict(model.named_parameters()) | dict(model.named_buffers())
    if config.is_prompt_learning:
        path = f"prompt_encoder.{_NAME}.embedding.weight"
        one = stored.get("prompt_embeddings")
        return ({path: one} if one and path in names else {}), []
    saved = {
        name: Stored(str(value.dtype).removeprefix("torch."), shard, tuple(value.shape))
        for name, value in given.items()
        if name in names
    }
    return saved, sorted(result.unexpected_keys)


def _moved(
    built: Built, model: nn.Module, names: dict[tuple[int, str], str], made: dict[str, Place], saved: dict[str, Stored],
    plan: Plan,
) -> Built:  # fmt: skip
    """What is known of each tensor, under the names that it has now."""
    reasons: dict[str, Reason] = {}
    places: dict[str, Place] = {}
    found = dict(saved)
    for module, leaf, name in leaves(model):
        before = names.get((id(module), leaf))
        if before is None:
            reasons[name] = _reason(model, name, saved.get(name), plan)
        elif before in built.reasons:
            reasons[name] = built.reasons[before]
        place = made.get(name) if before is None else built.places.get(before)
        if place is not None:
            places[name] = place
        if before in built.saved:
            found.setdefault(name, built.saved[before])
    return replace(built, module=model, reasons=reasons, places=places, saved=found)


def _reason(model: nn.Module, name: str, stored: Stored | None, plan: Plan) -> Reason:
    from peft.tuners.tuners_utils import BaseTunerLayer

    path, _, leaf = name.rpartition(".")
    tensor = getattr(model.get_submodule(path), leaf) if path else getattr(model, leaf)
    dtype, by = str(tensor.dtype).removeprefix("torch."), f"peft {version('peft')}"
    parents = [model.get_submodule(path[:end]) for end, mark in enumerate(path + ".") if mark == "."]
    layer = next((part for part in reversed(parents) if isinstance(part, BaseTunerLayer)), None)
    base = next((p.dtype for p in layer.get_base_layer().parameters()), None) if layer is not None else None
    if ".modules_to_save." in name:
        why = f"copy of a whole module that {by} trains (modules_to_save), in its dtype"
    elif base is not None and base in _HALVES and tensor.dtype == torch.float32 and plan.autocast_adapter_dtype:
        why = f"adapter weight, widened to float32 by {by} (autocast_adapter_dtype=True)"
    elif base == tensor.dtype:
        off = "" if plan.autocast_adapter_dtype else " (autocast_adapter_dtype=False)"
        why = f"adapter weight, in the dtype of its base layer by {by}{off}"
    else:
        why = f"adapter weight, made in {dtype} by {by}"
    reason = Reason(why, "adapter")
    return reason.stored_as(stored.dtype, stored.shard) if stored else reason


@contextmanager
def _peft_code(where: str) -> Iterator[None]:
    """Whatever peft raises becomes an AnalyzerError with its words; what it and its imports log is not shown."""
    logged = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    except AnalyzerError:
        raise
    except Exception as error:  # peft raises whatever the config and the model lead to
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        words = next((line for line in lines if line.startswith("size mismatch")), lines[0] if lines else "")
        hint = "is it an adapter of this model?"
        if isinstance(error, ImportError):
            hint = "install what peft asks for"
        elif isinstance(error, (DataDependentOutputException, DynamicOutputShapeException)):
            hint = "it computes with the weights, which are never read"
        raise AnalyzerError(f"{where}: peft stopped with {type(error).__name__}: {words}", hint=hint) from error
    finally:
        logging.disable(logged)
