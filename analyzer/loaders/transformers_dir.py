"""Loads a folder as `save_pretrained` writes it: config, class, dtype, module, inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from analyzer.capture import Loaded
from analyzer.capture.holding import take
from analyzer.dtypes import is_float
from analyzer.errors import AnalyzerError
from analyzer.findings import Assumption
from analyzer.loaders.headers import Stored, first_float, read_headers
from analyzer.plan import Plan

_AUTO_CLASSES: Final = (
    "AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForImageTextToText", "AutoModelForVision2Seq",
    "AutoModelForConditionalGeneration", "AutoModel",
)  # fmt: skip
"""Which auto_map entry is meant when architectures does not say; others come after these."""
_TRUST: Final = "read the code, then pass --trust-remote-code"


def load(
    root: Path,
    settings: dict[str, Any],
    plan: Plan,
    *,
    trust_remote_code: bool,
    inputs_file: Path | None,
    progress: Callable[[str], None] | None = None,
) -> Loaded:
    """Build the model that `root` describes; `settings` is its config.json."""
    say = progress or (lambda _: None)
    say("reading config and checkpoint headers")
    checkpoint = read_headers(root)
    stored = checkpoint.tensors
    from analyzer.loaders.adapter import inject
    from analyzer.loaders.applying import apply_plan
    from analyzer.loaders.building import build
    from analyzer.loaders.inputs import make_inputs
    from analyzer.loaders.quantised import loads_in, quantise, read
    from analyzer.loaders.remote_code import plain_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(root, settings, plan.device)
        cls, config, notes = _class_and_config(root, settings, trust_remote_code)
        declared = _named(config) or ""
        dtype, assumed = _dtype(config, plan, stored)
        if found.scheme is not None:
            overruled = loads_in(found.scheme, dtype, named=not assumed, device=plan.device)
            dtype, assumed = overruled, assumed if overruled == dtype else []
        say(f"building {cls.__name__}")
        built = quantise(build(cls, config, dtype, root, stored), found, dtype, stored, plan)
        unused = {name: stored[name].dtype for name in built.unused}
        base = built.module
        fresh: tuple[str, ...] = ()
        if plan.adapter:
            say("putting the adapter in")
            built, remarks, fresh = inject(built, plan, plain_path(root))
            notes = [*notes, *remarks]
        reasons = apply_plan(built.module, plan, built.reasons)
        inputs = make_inputs(
            base, config, plan, plan.to or dtype, root, file=inputs_file, trust_remote_code=trust_remote_code
        )
    return Loaded(
        module=built.module,
        name=type(built.module).__name__,
        path=str(root),
        inputs=inputs.values,
        run=inputs.run,
        reasons=reasons,
        places=built.places,
        root=plain_path(root),
        assumptions=(*notes, *assumed, *found.notes, *inputs.assumptions),
        spare=inputs.spare,
        inventory=take(
            built.module,
            reasons=reasons,
            places=built.places,
            saved={name: (one.dtype, one.shard) for name, one in built.saved.items()},
            declared=declared,
            loaded=dtype,
            unused=unused,
            made_anew=(*(getattr(built.module, "_keys_to_ignore_on_load_missing", None) or ()), *fresh),
            has_checkpoint=checkpoint.complete,
        ),
    )


def _class_and_config(root: Path, settings: dict[str, Any], trust: bool) -> tuple[Any, Any, list[Assumption]]:
    notes: list[Assumption] = []
    auto_map = settings.get("auto_map") or {}
    if not isinstance(auto_map, dict):
        raise AnalyzerError(f"{root / 'config.json'}: auto_map is not an object", hint="correct config.json")
    names = settings.get("architectures") or []
    native = _native_class(names[0]) if names else None
    known = settings.get("model_type") in _config_mapping()
    if auto_map and not trust:
        if native is None or not known:
            raise AnalyzerError(f"{root} comes with its own code (auto_map in config.json)", hint=_TRUST)
        notes.append(Assumption("auto_map in config.json", f"not run; transformers' own {names[0]}", "config.json"))
        auto_map = {}
    entry = _model_entry(auto_map, names)
    config = _config(root, settings, auto_map.get("AutoConfig"))
    if entry is not None:
        from analyzer.loaders.remote_code import import_class

        return import_class(root, entry), config, notes
    if native is not None:
        return native, config, notes
    cls = _mapped_class(config)
    if names:
        notes.append(Assumption(f"the class {names[0]} is not in transformers", cls.__name__, "config.json"))
    return cls, config, notes


def _config(root: Path, settings: dict[str, Any], entry: str | None) -> Any:
    from analyzer.loaders.remote_code import import_class, user_code

    if entry is not None:
        cls = import_class(root, entry)
    else:
        mapping = _config_mapping()
        model_type = settings.get("model_type")
        if model_type is None:
            raise AnalyzerError(f"{root / 'config.json'} has no model_type", hint="is it a transformers model?")
        if model_type not in mapping:
            import transformers

            from analyzer.loaders.applying import suggest

            close = suggest(str(model_type), mapping.keys())
            raise AnalyzerError(
                f"transformers {transformers.__version__} knows no model_type '{model_type}'",
                hint=close if close.startswith("did") else "a newer transformers may know it",
            )
        cls = mapping[model_type]
    with user_code(root, f"reading config.json with {cls.__name__}"):
        return cls.from_pretrained(str(root))


def _model_entry(auto_map: dict[str, Any], names: list[str]) -> str | None:
    models = {k: v for k, v in auto_map.items() if k.startswith("AutoModel") and isinstance(v, str)}
    for entry in models.values():
        if names and entry.rpartition(".")[2] == names[0]:
            return entry
    for auto_class in _AUTO_CLASSES:
        if auto_class in models:
            return models[auto_class]
    return next(iter(models.values()), None)


def _native_class(name: str) -> Any:
    import transformers

    try:
        cls = getattr(transformers, str(name), None)
    except (ImportError, RuntimeError):
        return None
    return cls if isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel) else None


def _mapped_class(config: Any) -> Any:
    import transformers

    for mapping in (transformers.MODEL_MAPPING, transformers.MODEL_FOR_CAUSAL_LM_MAPPING):
        try:
            cls = mapping[type(config)]
        except KeyError:
            continue
        return cls[0] if isinstance(cls, (tuple, list)) else cls
    raise AnalyzerError(
        f"config.json does not say which class to build, and transformers has no model for {type(config).__name__}",
        hint='add "architectures": ["..."] to config.json',
    )


def _config_mapping() -> Any:
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING


def _dtype(config: Any, plan: Plan, stored: dict[str, Stored]) -> tuple[str, list[Assumption]]:
    """The dtype of from_pretrained: the plan's, else the config's, else the checkpoint's, else a part's config's."""
    if plan.dtype is not None and plan.dtype != "auto":
        return plan.dtype, []
    parts = [getattr(config, key, None) for key in getattr(config, "sub_configs", None) or ()]
    found = _named(config) or first_float(stored) or next((d for d in map(_named, parts) if d), None)
    if found is not None:
        return found, []
    return "float32", [
        Assumption("neither config.json nor a checkpoint header names a dtype", "float32", "config.json")
    ]


def _named(config: Any) -> str | None:
    for attribute in ("dtype", "torch_dtype"):
        value = getattr(config, attribute, None) if config is not None else None
        name = str(value).removeprefix("torch.")
        if value is not None and is_float(name):
            return name
    return None
