"""Remakes `signatures.txt` from releases of transformers that lie unpacked side by side, the oldest first.

`python -m analyzer.loaders.versions.old_names.classes FOLDER_OF_4.36 ... FOLDER_OF_5.24`: the last one is the newest,
whose own parameters are left out. Sources are parsed, never run.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from analyzer.loaders.versions.old_names.classes.signatures import FILE
from analyzer.loaders.versions.old_names.history import release_in

_MODELS: Final = (
    "bart", "beit", "bert", "blip", "blip_2", "bloom", "clip", "dinov2", "esm", "falcon", "gemma", "gemma2", "gpt2",
    "gpt_neox", "gptj", "idefics2", "llama", "llava", "llava_next", "mbart", "mistral", "mixtral", "mpt", "opt", "phi",
    "phi3", "qwen2", "qwen2_5_vl", "qwen2_vl", "roberta", "siglip", "stablelm", "swin", "t5", "vit", "wav2vec2",
    "whisper", "xlm_roberta",
)  # fmt: skip
"""Models whose layers other people's code takes."""
_METHODS: Final = ("__init__", "forward")
_OUTPUTS: Final = ("outputs", "layer_outputs", "attention_outputs", "output")


def main(folders: list[str]) -> None:
    """Compare the releases and write the file."""
    *older, newest = [Path(folder) for folder in folders]
    lines = []
    for model in _MODELS:
        now = dict(_methods(newest, model))
        found: dict[tuple[str, str], dict[tuple[str, ...], str]] = {}
        for folder in older:
            for method, names in _methods(folder, model):
                if method in now and names != now[method]:
                    found.setdefault((*method,), {})[names] = release_in(folder)
        for (cls, name), known in sorted(found.items()):
            by_age = sorted(known.items(), key=lambda one: [int(part) for part in one[1].split(".")])
            lines += [f"{model} {cls}.{name} {release}: {' '.join(names)}\n" for names, release in by_age]
    FILE.write_text("".join(lines), encoding="utf-8")


def _methods(folder: Path, model: str) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    file = folder / "transformers" / "models" / model / f"modeling_{model}.py"
    body = ast.parse(file.read_text(encoding="utf-8")).body if file.is_file() else []
    for cls in body:
        for one in cls.body if isinstance(cls, ast.ClassDef) else ():
            if isinstance(one, ast.FunctionDef) and one.name in _METHODS:
                assert isinstance(cls, ast.ClassDef)
                names = [arg.arg for arg in one.args.args[1:]]
                yield (cls.name, one.name), (*names, *(["()"] if _gives_tuple(one) else []))


def _gives_tuple(function: ast.FunctionDef) -> bool:
    """Whether the last return of a function gives a tuple, as layers did."""
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    last = returned[-1] if returned else None
    return isinstance(last, (ast.Tuple, ast.BinOp)) or (isinstance(last, ast.Name) and last.id in _OUTPUTS)


if __name__ == "__main__":
    main(sys.argv[1:])
