"""Which keys a dialect knows: read from the sources of the installed libraries, none of which is imported."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_SOURCES: Final[dict[str, tuple[str, dict[str, tuple[str, ...]]]]] = {
    "trainer": (
        "transformers",
        {
            "training_args.py": ("TrainingArguments",),
            "training_args_seq2seq.py": ("Seq2SeqTrainingArguments",),
        },
    ),
    "accelerate": (
        "accelerate",
        {"commands/config/config_args.py": ("BaseConfig", "ClusterConfig", "SageMakerConfig")},
    ),
}
"""Dialect -> package, file in it, classes whose annotated fields are its keys."""
_DEEPSPEED: Final = ("runtime", "comm", "compression", "elasticity", "monitor", "autotuning", "profiling", "nebula",
                     "inference")  # fmt: skip
_PRECISION: Final = re.compile(
    r"bf16|fp16|fp8|fp32|tf32|float|half|dtype|precision|autocast|_amp|amp_|\bamp\b|4bit|8bit|quantiz"
)


@cache
def known(dialect: str) -> frozenset[str]:
    """The keys that the installed library knows; empty where it is not installed."""
    if dialect == "deepspeed":
        return _strings()
    package, files = _SOURCES[dialect]
    root = _root(package)
    names: set[str] = set()
    for file, classes in files.items():
        if root is not None and (root / file).is_file():
            names |= _fields(root / file, classes)
    return frozenset(names)


def concerns_precision(key: str) -> bool:
    """Whether a key's name suggests that it decides a dtype."""
    return _PRECISION.search(key.lower()) is not None


def _root(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _fields(file: Path, classes: tuple[str, ...]) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in classes]
    return {
        line.target.id
        for node in found
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }


def _strings() -> frozenset[str]:
    """DeepSpeed's keys: constants that are words, and the fields of its models of sections."""
    root = _root("deepspeed")
    names: set[str] = set()
    for folder in _DEEPSPEED if root is not None else ():
        assert root is not None
        for file in sorted((root / folder).rglob("*.py")):
            if "config" in file.name or file.name == "constants.py":
                text = file.read_text(encoding="utf-8")
                names |= set(re.findall(r"""["']([a-z][a-z0-9_]*)["']""", text))
                names |= set(re.findall(r"^    ([a-z][a-z0-9_]*): ", text, re.MULTILINE))
    return frozenset(names)
