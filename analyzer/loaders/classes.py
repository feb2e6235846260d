"""Decides which class a folder's config.json means, the folder's own or one of transformers, and reads its config."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from analyzer.errors import AnalyzerError, did_you_mean
from analyzer.ir.findings import Assumption
from analyzer.loaders.remote_code.importing import find_file, import_class, user_code

_AUTO_CLASSES: Final = (
    "AutoModelForCausalLM", "AutoModelForSeq2SeqLM", "AutoModelForImageTextToText", "AutoModelForVision2Seq",
    "AutoModelForConditionalGeneration", "AutoModel",
)  # fmt: skip
"""Which auto_map entry is meant when architectures does not say; others come after these."""
_TRUST: Final = "read the code, then pass --trust-remote-code"


def choose(root: Path, settings: dict[str, Any], *, trust: bool) -> tuple[Any, Any, list[Assumption]]:
    """The class, its config, and what had to be assumed; `settings` is config.json.

    Without trust, transformers' own class stands for the folder's where it has the one that is named, or where the
    code is not there but the model type is known: as transformers itself decides then. Raises AnalyzerError where
    neither can be had.
    """
    auto_map = settings.get("auto_map") or {}
    if not isinstance(auto_map, dict):
        raise AnalyzerError(f"{root / 'config.json'}: auto_map is not an object", hint="correct config.json")
    names = _architectures(settings)
    native = _native_class(names[0]) if names else None
    entry = _model_entry(auto_map, names)
    known = _is_known(settings.get("model_type"))
    if not trust and (native is None or not known) and (own := entry or auto_map.get("AutoConfig")) is not None:
        _refuse(root, str(own), known=known)
    config = _config(root, settings, auto_map.get("AutoConfig") if trust else None, *([entry] if entry else []))
    if entry is not None and trust:
        return import_class(root, entry), config, []
    cls = native or _mapped_class(config, [*_tasks(auto_map, entry), *_task_of(names)])
    said = _instead(cls, native, names, ignored=bool(auto_map) and not trust)
    return cls, _part(root, cls, config), said


def _architectures(settings: dict[str, Any]) -> list[str]:
    listed = settings.get("architectures")
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _instead(cls: Any, native: Any, names: list[str], *, ignored: bool) -> list[Assumption]:
    """What to say of a class of transformers: that the folder's is ignored, or the one that it names is missing."""
    if ignored:
        return [Assumption("auto_map in config.json", f"not run; transformers' own {cls.__name__}", "config.json")]
    if native is None and names:
        return [Assumption(f"the class {names[0]} is not in transformers", cls.__name__, "config.json")]
    return []


def _refuse(root: Path, entry: str, *, known: bool) -> None:
    """Raise, unless the code is not there and transformers knows the model type."""
    try:
        find_file(root, entry)
    except AnalyzerError:
        if known:
            return
        raise
    raise AnalyzerError(f"{root} comes with its own code: config.json has an auto_map", hint=_TRUST)


def _config(root: Path, settings: dict[str, object], entry: str | None, *later: str) -> Any:
    if "configuration_files" in settings:  # transformers would read another file than the one that was looked at
        raise AnalyzerError(
            f"{root / 'config.json'} names other files as the config", hint="remove configuration_files"
        )
    if entry is not None:
        cls = import_class(root, entry, *later)
    else:
        mapping = _config_mapping()
        model_type = settings.get("model_type")
        if model_type is None:
            raise AnalyzerError(f"{root / 'config.json'} has no model_type", hint="is it a transformers model?")
        if not _is_known(model_type):
            import transformers

            raise AnalyzerError(
                f"transformers {transformers.__version__} knows no model_type '{model_type}'",
                hint=did_you_mean(str(model_type), mapping.keys()) or "a newer transformers may know it",
            )
        cls = mapping[model_type]
    with user_code(root, f"reading config.json with {cls.__name__}"):
        return cls.from_pretrained(str(root))


def _part(root: Path, cls: type, config: object) -> Any:
    """The part of a config that a class is built from, as `cls.from_pretrained` finds it; else the config itself."""
    wanted = getattr(cls, "config_class", None)
    if (
        wanted is None
        or isinstance(config, wanted)
        or not any(isinstance(one, wanted) for one in vars(config).values())
    ):
        return config
    with user_code(root, f"reading config.json with {wanted.__name__}"):
        return wanted.from_pretrained(str(root))


def _model_entry(auto_map: dict[str, object], names: list[str]) -> str | None:
    models = {k: v for k, v in auto_map.items() if k.startswith("AutoModel") and isinstance(v, str)}
    for entry in models.values():
        if names and entry.rpartition(".")[2] == names[0]:
            return entry
    for auto_class in _AUTO_CLASSES:
        if auto_class in models:
            return models[auto_class]
    return next(iter(models.values()), None)


def _tasks(auto_map: dict[str, object], entry: str | None) -> Iterator[str]:
    """The auto classes that give an entry."""
    return (name for name, value in auto_map.items() if value == entry and name.startswith("AutoModel"))


def _task_of(names: list[str]) -> list[str]:
    """The auto class that is called after the same head as the first of the classes.

    >>> _task_of(["LlavaLlamaForCausalLM"]), _task_of(["BertModel"])
    (['AutoModelForCausalLM'], [])
    """
    _, found, head = names[0].rpartition("For") if names else ("", "", "")
    return [f"AutoModelFor{head}"] if found else []


def _native_class(name: str) -> Any:
    import transformers

    try:
        cls = getattr(transformers, name, None)
    except (ImportError, RuntimeError):
        return None
    return cls if isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel) else None


def _mapped_class(config: object, tasks: list[str]) -> Any:
    """The class that transformers maps to a config for the first of the tasks that has one, else for none."""
    import transformers

    for task in (*tasks, "AutoModel", "AutoModelForCausalLM"):
        try:
            cls = getattr(transformers, task)._model_mapping[type(config)]
        except (AttributeError, KeyError, ValueError):  # the last for a name in the mapping without a class
            continue
        return cls[0] if isinstance(cls, (tuple, list)) else cls
    raise AnalyzerError(
        f"config.json does not say which class to build, and transformers has no model for {type(config).__name__}",
        hint='add "architectures": ["..."] to config.json',
    )


def _is_known(model_type: object) -> bool:
    return isinstance(model_type, str) and model_type in _config_mapping()


def _config_mapping() -> Any:
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING
