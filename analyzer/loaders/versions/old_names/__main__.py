"""Remakes `history.txt` from releases of transformers that lie unpacked side by side, the oldest first.

`python -m analyzer.loaders.versions.old_names FOLDER_OF_4.30 ... FOLDER_OF_5.24`: the last one is the newest, whose own
names are left out. Sources are parsed, never run.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

from analyzer.loaders.versions.old_names.history import FILE, Past, dump, release_in

_LEFT_OUT: Final = re.compile(
    r"\.(commands|cli|data|benchmark|sagemaker|pipelines|kernels|agents|tools|quantizers|distributed)\."
    r"|\.onnx\.(convert|features)\."
    r"|\.(trainer|training_args|testing_utils|optimization|debug_utils|hf_argparser|convert_|tokenization|processing)"
    r"|(\b|_)(tf|flax|jax|fast|keras)_|image_processing|feature_extraction|modular_|dummy_|\.integrations\.\w+\."
    r"|continuous_batching|core_model_loading|conversion_mapping|modelcard|hyperparameter|\.models\.\w+\.(?!modeling_)"
    r"|\.(args_doc|hub|notebook|chat_\w+|peft_utils|candidate_generator|watermarking|configuration_auto|auto_factory)\."
)
"""Modules that no model's code imports."""
_MODELS: Final = (
    "auto", "bart", "bert", "bloom", "clip", "gemma2", "gpt2", "gpt_neox", "llama", "llava", "mistral", "mixtral",
    "opt", "phi3", "qwen2", "qwen2_vl", "roberta", "siglip", "t5", "vit", "whisper",
)  # fmt: skip
"""Models that other people's code is derived from."""
_BASES: Final = (
    "configuration_utils", "modeling_utils", "cache_utils", "generation.utils", "generation.configuration_utils",
    "utils.generic", "integrations.peft", "utils.hub", "utils.peft_utils",
)  # fmt: skip
"""Modules of the classes that a model's own classes derive from, and of caches."""
_DEFAULTS: Final = "generation_defaults"
"""What is in the name of a method whose keys become attributes."""
_RENAMED: Final = {"PretrainedConfig": "PreTrainedConfig"}
_Class: TypeAlias = tuple[str, dict[str, bool], list[str]]
"""A module, what a class defines itself, and the names of its bases."""
_LAZY: Final = ("transformers", "transformers.models", "transformers.generation", "transformers.integrations")
"""Packages that hand on the names of their modules."""
_PRIVATE: Final = re.compile(
    r"^(_\w*_(available|version)|_(CHECKPOINT|CONFIG|SEQ|QA|TOKEN|IMAGE)_\w*|(TF|Flax|__)\w*)$|_IMPORT_ERROR$"
)


def main(folders: list[str]) -> None:
    """Compare the releases and write the file."""
    *older, newest = [(release_in(Path(folder)), dict(_modules(Path(folder)))) for folder in folders]
    found: dict[tuple[str, str], Past] = {}
    handed_on = {name: False for file in _files(Path(folders[-1])) for name, _ in _names(_parsed(file).body)}
    for release, modules in older:
        for module, names in modules.items():
            now = handed_on if module in _LAZY else newest[1].get(module)
            if now is None:
                found[module, ""] = Past(release, callable=False)
            for name, called in names.items():
                if now is None or name not in now:
                    found[module, name] = Past(release, called)
    FILE.write_text(dump(found | members(list(map(Path, folders)))), encoding="utf-8")


def members(folders: list[Path]) -> dict[tuple[str, str], Past]:
    """Methods and attributes of the base classes that the newest release lacks, by module and `Class.name`."""
    *older, newest = [(release_in(folder), _classes(folder)) for folder in folders]
    found: dict[tuple[str, str], Past] = {}
    for release, classes in older:
        for name, (module, own, _) in classes.items():
            now = _all_members(newest[1], _RENAMED.get(name, name))
            for member, called in own.items() if now else ():
                if member not in now and not member.startswith("__"):
                    found[module, f"{_RENAMED.get(name, name)}.{member}"] = Past(release, called)
    return found


def _classes(folder: Path) -> dict[str, _Class]:
    """The classes that models derive from or are given, by name."""
    found: dict[str, _Class] = {}
    for name in _BASES:
        file = folder.joinpath("transformers", *name.split(".")).with_suffix(".py")
        for node in _parsed(file).body if file.is_file() else ():
            if isinstance(node, ast.ClassDef):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                found[node.name] = f"transformers.{name}", dict(_own_members(node)), bases
    return found


def _own_members(node: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    """What a class defines and what its methods set, with whether it can be called."""
    stored = (one for one in ast.walk(node) if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store))
    yield from ((one.attr, False) for one in stored if isinstance(one.value, ast.Name) and one.value.id == "self")
    for one in node.body:
        if isinstance(one, ast.FunctionDef):
            yield one.name, True
            if _DEFAULTS in one.name:
                yield from ((text, False) for text in _keys(one))
        elif isinstance(one, (ast.Assign, ast.AnnAssign)):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            yield from ((target.id, False) for target in targets if isinstance(target, ast.Name))


def _keys(node: ast.AST) -> list[str]:
    """The keys of the dicts that stand in a function."""
    keys = (key for one in ast.walk(node) if isinstance(one, ast.Dict) for key in one.keys)
    return [key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]


def _all_members(classes: dict[str, _Class], name: str) -> set[str]:
    """What a class has, with what it inherits; nothing for a class that is not there."""
    if name not in classes:
        return set()
    _, own, bases = classes[name]
    return set(own).union(*(_all_members(classes, base) for base in bases))


def _modules(folder: Path) -> Iterator[tuple[str, dict[str, bool]]]:
    for file in _files(folder):
        parts = file.relative_to(folder).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        model = parts[2] if len(parts) > 3 and parts[1] == "models" else ""
        if _LEFT_OUT.search(f"{module}.") or (model and model not in _MODELS):
            continue
        tree = _parsed(file)
        found = dict(_names(tree.body))
        if len(parts) <= 3 and parts[-1] == "__init__":
            found |= _lazy(tree)
        yield module, {n: called for n, called in found.items() if not _PRIVATE.search(n)}


def _lazy(tree: ast.AST) -> dict[str, bool]:
    """Names that a package hands on lazily, which stand in strings."""
    strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return {name: name[0].isupper() and not name.isupper() for name in strings if name.isidentifier()}


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "transformers").rglob("*.py"))


def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _names(body: list[ast.stmt]) -> Iterator[tuple[str, bool]]:
    """What a module defines or takes from transformers, with whether it can be called."""
    for one in body:
        if isinstance(one, (ast.FunctionDef, ast.ClassDef)):
            yield one.name, True
        elif isinstance(one, ast.ImportFrom) and one.level:
            for alias in one.names:
                name = alias.asname or alias.name
                yield name, not name.isupper()
        elif isinstance(one, ast.Assign):
            for target in one.targets:
                if isinstance(target, ast.Name):
                    yield target.id, False
        elif isinstance(one, (ast.If, ast.Try)):
            handlers = [s for handler in getattr(one, "handlers", []) for s in handler.body]
            yield from _names([*one.body, *one.orelse, *handlers])


if __name__ == "__main__":
    main(sys.argv[1:])
