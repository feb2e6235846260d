"""Says what a folder or a file is that is no model which can be traced, and what to do about it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.foreign.files import as_argument, is_file, is_folder, read_small
from analyzer.foreign.hub_cache import repository_of

MARKERS: Final = ("config.json", "adapter_config.json", "modules.json", "model_index.json")
"""Files by which a folder is known as a model."""
_ENTRIES: Final = 2000
"""Entries of a folder that are looked at."""
_NAMED: Final = 4
"""Names that a line tells."""
_STEPS: Final = re.compile(r"checkpoint-(\d+)")
_LARGEST: Final = 1 << 20
_CONVERTED: Final = "give the folder or the hub id of the model that it was made from"
_EXPORTED: Final = f"{_CONVERTED}; its PyTorch code is what is traced"
_CONFIG: Final = "put the model's config.json beside it, and its .py files if it has some"


@dataclass(frozen=True, slots=True)
class Format:
    """One way to keep a model that cannot be traced: patterns of its files, what it is, what to do."""

    files: tuple[str, ...]
    what: str
    hint: str
    also: tuple[str, ...] = ()
    """Patterns of files of which one must be there too."""

    def found(self, names: Sequence[str]) -> str:
        """The first of these names that is such a file; "" if none is."""
        if self.also and not any(fnmatch(name.lower(), one) for name in names for one in self.also):
            return ""
        return next((name for one in self.files for name in names if fnmatch(name.lower(), one)), "")


FORMATS: Final = (
    Format(("*.gguf", "*.ggml"), "a model for llama.cpp (GGUF), which is not supported", _EXPORTED),
    Format(("*.onnx",), "an ONNX graph, which is not supported", f"{_EXPORTED}, or its export as *.pt2"),
    Format(("*.mlpackage", "*.mlmodel", "*.mlmodelc"), "a model for Core ML, which is not supported", _EXPORTED),
    Format(("*.engine", "*.plan", "*.trt"), "a TensorRT engine, which is not supported", _EXPORTED),
    Format(("*.xml",), "a model for OpenVINO, which is not supported", _EXPORTED, also=("openvino*.bin", "*.xml")),
    Format(("*.tflite",), "a model for TensorFlow Lite, which is not supported", _EXPORTED),
    Format(("*.npz",), "a model for MLX or JAX, which is not supported", _EXPORTED),
    Format(("*.h5", "saved_model.pb", "*.msgpack"), "a TensorFlow or Flax model, which is not supported", _EXPORTED),
    Format(("params.json",), "a checkpoint in Meta's own layout",
           "give the folder in the layout of transformers, with a config.json: "
           "python -m transformers.models.llama.convert_llama_weights_to_hf --help", also=("consolidated*",)),
    Format(("*.safetensors",), "weights without a config.json", _CONFIG),
    Format(("*.bin", "*.pt", "*.pth", "*.ckpt"), "weights without a config.json",
           f"{_CONFIG}; or give a Python file with build() that makes the module"),
)  # fmt: skip
"""In the order in which they are looked for: an export often lies beside the weights that it was made from."""
_TAR: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
_OTHER_ARCHIVES: Final = (".7z", ".rar", ".tar.zst", ".tar.lz4")


def told_of_file(file: Path) -> AnalyzerError | None:
    """The error for a file that is no model which can be traced, if its name says what it is."""
    name = file.name.lower()
    if name.endswith((".zip", *_TAR)):
        stem = file.name[: len(file.name) - len(next(end for end in (".zip", *_TAR) if name.endswith(end)))]
        tool = "zipfile" if name.endswith(".zip") else "tarfile"
        target = as_argument(str(file.parent / (stem or "model")))
        words = _words("python", "-m", tool, "-e", as_argument(str(file)), target)
        return AnalyzerError(
            f"{file} is an archive, not a model folder",
            hint=f"unpack it and give the folder: {words}",
        )
    if name.endswith(_OTHER_ARCHIVES):
        return AnalyzerError(f"{file} is an archive, not a model folder", hint="unpack it and give the folder")
    if is_file(file.parent / "config.json") and not name.endswith((".gguf", ".onnx")):
        words = _traced(file.parent)
        return AnalyzerError(f"{file} is a file, not a model folder", hint=f"give the folder that holds it: {words}")
    for one in FORMATS:
        if one.found([file.name]):
            return AnalyzerError(f"{file} is {one.what}", hint=one.hint)
    return None


def told_of_folder(folder: Path) -> AnalyzerError:
    """The error for a folder without any marker of a model: what lies in it, and which other folder may be meant."""
    files, folders = _listed(folder)
    inner = [name for name in folders if _is_model(folder / name)]
    for say in (_checkpoints, _cache, _several):
        if (error := say(folder, inner, folders)) is not None:
            return error
    what = f"no config.json in {folder}"
    if repository := repository_of(folder.absolute()):
        return AnalyzerError(what, hint=f"the cache has a part of {repository.name} only: {repository.download()}")
    for one in FORMATS:
        if name := one.found([*files, *folders]):
            return _of_format(folder, one, name)
    if _is_model(folder.absolute().parent) and folder.name not in ("..", ""):
        words = _traced(folder.parent)
        return AnalyzerError(what, hint=f"the folder above is a model: {words}")
    archives = [name for name in files if name.lower().endswith((".zip", *_TAR))]
    if archives and (error := told_of_file(folder / archives[0])):
        return AnalyzerError(f"{what}, but {archives[0]}", hint=error.hint)
    return AnalyzerError(what, hint="give a folder with one of {}, or a file *.pt2 or *.py".format(", ".join(MARKERS)))


def told_of_config(folder: Path, settings: Mapping[str, object]) -> AnalyzerError | None:
    """The error for a config.json that another program wrote for weights of its own, if it is one."""
    packed, own = settings.get("quantization"), settings.get("quantization_config")
    scheme = own.get("quant_method") if isinstance(own, dict) else None
    if isinstance(packed, dict) and {"group_size", "bits"} <= set(packed) and scheme is None:
        what = "a quantized model for MLX (quantization in config.json), which is not supported"
        return AnalyzerError(f"{folder} is {what}", hint=_EXPORTED)
    if "model_type" in settings or "auto_map" in settings:
        return None
    engine = next((name for name in _listed(folder)[0] if name.lower().endswith((".engine", ".plan"))), "")
    if engine or {"pretrained_config", "build_config"} <= set(settings) or "builder_config" in settings:
        return AnalyzerError(f"{folder} is a TensorRT engine, which is not supported", hint=_EXPORTED)
    return None


def _of_format(folder: Path, one: Format, name: str) -> AnalyzerError:
    """What is said of a folder that holds a file of another format; Meta's own lies beside its twin as a rule."""
    if _is_model(folder.absolute().parent):
        words = _traced(folder.parent)
        return AnalyzerError(f"{folder} holds {one.what} ({name})", hint=f"the folder above is a model: {words}")
    return AnalyzerError(f"{folder} holds {one.what} ({name})", hint=one.hint)


def _checkpoints(folder: Path, inner: Sequence[str], _: object) -> AnalyzerError | None:
    steps = {int(found[1]): name for name in inner if (found := _STEPS.fullmatch(name))}
    if not steps:
        return None
    last = _traced(folder / steps[max(steps)])
    said = f"{folder} is the output of a training, with {_some([steps[step] for step in sorted(steps)])}"
    return AnalyzerError(said, hint=f"give one of them: {last}")


def _cache(folder: Path, _: object, folders: Sequence[str]) -> AnalyzerError | None:
    """A Hugging Face cache, given whole."""
    found = [name for name in folders if name.startswith("models--")]
    ids = [name.removeprefix("models--").replace("--", "/", 1) for name in found]
    if not ids:
        return None
    hint = f"give one of them: {_traced(folder / found[0])}"
    return AnalyzerError(f"{folder} is a cache of several models: {_some(ids)}", hint=hint)


def _several(folder: Path, inner: Sequence[str], _: object) -> AnalyzerError | None:
    if not inner:
        return None
    words = _traced(folder / inner[0])
    if len(inner) == 1:
        return AnalyzerError(f"no config.json in {folder}, but in {inner[0]}", hint=f"give that folder: {words}")
    return AnalyzerError(f"{folder} holds {len(inner)} models: {_some(inner)}", hint=f"give one of them: {words}")


def _some(names: Sequence[str]) -> str:
    return ", ".join((*names[:_NAMED], *(("...",) if len(names) > _NAMED else ())))


def _traced(model: Path) -> str:
    """The command that traces another folder."""
    return _words("analyze", "trace", as_argument(str(model)))


def _words(*words: str) -> str:
    """A command to copy."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """The names of files, and of folders, that lie in a folder and are not hidden."""
    try:
        there = sorted(islice((one.name for one in folder.iterdir() if not one.name.startswith(".")), _ENTRIES))
    except OSError:
        return [], []
    folders = [name for name in there if is_folder(folder / name)]
    return [name for name in there if name not in folders], folders


def _is_model(folder: Path) -> bool:
    """Whether a folder has a marker; a config.json of another program is none."""
    if not any(is_file(folder / name) for name in MARKERS):
        return False
    if any(is_file(folder / name) for name in MARKERS[1:]):
        return True
    try:
        found = json.loads(read_small(folder / "config.json", _LARGEST))
    except (AnalyzerError, ValueError, RecursionError):
        return True
    return isinstance(found, dict) and bool({"model_type", "auto_map", "_class_name", "architecture"} & set(found))
