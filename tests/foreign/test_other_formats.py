"""Each thing that people take for a model folder is named, with what to do; and what is said to do works."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from analyzer.errors import AnalyzerError
from analyzer.foreign.model_place import located
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from tests.hub_caches import cache, store
from tests.model_folders import llama

__all__ = ["llama"]

CONFIG = '{"model_type": "llama"}'
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
posix = pytest.mark.skipif(sys.platform == "win32", reason="quotes of a POSIX shell")


def _folder(place: Path, *files: str, **texts: str) -> Path:
    for name in files:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(CONFIG if name.endswith("config.json") else "")
    return place


def _said(place: Path) -> str:
    with pytest.raises(AnalyzerError) as caught:
        load(located(place), Plan())
    return str(caught.value)


_CONVERTED = "give the folder or the hub id of the model that it was made from"


@pytest.mark.parametrize(
    ("files", "what", "hint"),
    [
        (["m-Q4_K_M.gguf"], "llama.cpp (GGUF), which is not supported (m-Q4_K_M.gguf)", _CONVERTED),
        (["model.onnx", "model.onnx_data"], "an ONNX graph", _CONVERTED),
        (["rank0.engine"], "a TensorRT engine", _CONVERTED),
        (["openvino_model.xml", "openvino_model.bin"], "a model for OpenVINO", _CONVERTED),
        (["Llama.mlpackage/Manifest.json"], "a model for Core ML", _CONVERTED),
        (["weights.npz"], "MLX or JAX", _CONVERTED),
        (["tf_model.h5"], "TensorFlow or Flax", _CONVERTED),
        (["params.json", "consolidated.00.pth"], "Meta's own layout", "convert_llama_weights_to_hf"),
        (["model.safetensors"], "weights without a config.json (model.safetensors)", "put the model's config.json"),
        (["pytorch_model.bin"], "weights without a config.json", "a Python file with build()"),
        (["a/config.json", "b/config.json"], "holds 2 models: a, b", "trace {folder}/a"),
        (["a/config.json", "b/x.txt"], "no config.json in {folder}, but in a", "trace {folder}/a"),
        (["checkpoint-90/config.json", "checkpoint-500/config.json"], "the output of a training, with checkpoint-90, "
         "checkpoint-500", "trace {folder}/checkpoint-500"),
        (["checkpoint-9/adapter_config.json"], "the output of a training", "trace {folder}/checkpoint-9"),
        (["models--a--b/refs/main", "models--c/refs/main"],
         "a cache of several models: a/b, c", "{folder}/models--a--b"),
        (["m.tar.gz"], "no config.json in {folder}, but m.tar.gz", "python -m tarfile -e {folder}/m.tar.gz {folder}/m"),
        (["README.md"], "no config.json in {folder}", "a file *.pt2 or *.py"),
        ([".hidden/config.json"], "no config.json in {folder}", "a file *.pt2 or *.py"),
    ],
)  # fmt: skip
@posix
def test_what_a_folder_holds_is_named(files: list[str], what: str, hint: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", *files)
    folder.mkdir(exist_ok=True)
    said = _said(folder)
    assert what.format(folder=folder) in said and hint.format(folder=folder) in said, said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m.gguf", "llama.cpp (GGUF)"), ("m.onnx", "an ONNX graph"), ("m.safetensors", "weights without a config.json"),
        ("m.ckpt", "weights without a config.json"), ("m.rar", "an archive"),
        ("m.txt", "is a file, not a model folder"),
        ("m.tflite", "TensorFlow Lite"),
    ],
)  # fmt: skip
def test_what_a_file_is_is_named(name: str, words: str, tmp_path: Path) -> None:
    assert words in _said(_folder(tmp_path, name) / name)


def test_a_file_of_a_model_leads_to_its_folder(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", "config.json", "model.safetensors", "m.gguf")
    for name in ("config.json", "model.safetensors"):
        assert f"give the folder that holds it: analyze trace {folder}" in _said(folder / name)
    assert "llama.cpp" in _said(folder / "m.gguf")


def test_the_folder_above_is_named(tmp_path: Path) -> None:
    _folder(tmp_path / "llama", "config.json", "original/params.json", "original/consolidated.00.pth")
    said = _said(tmp_path / "llama" / "original")
    assert "Meta's own layout" in said and f"analyze trace {tmp_path / 'llama'}" in said


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model_type": "llama", "quantization": {"group_size": 64, "bits": 4},
          "quantization_config": {"group_size": 64, "bits": 4}}, "a quantized model for MLX"),
        ({"pretrained_config": {}, "build_config": {}}, "a TensorRT engine"),
        ({"builder_config": {}}, "a TensorRT engine"),
    ],
)  # fmt: skip
def test_configs_of_other_programs(settings: dict[str, object], words: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert words in _said(tmp_path)


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tgz", ".tar"])
@posix
def test_an_archive_is_unpacked_by_what_is_said(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _folder(tmp_path / "made", "config.json")
    monkeypatch.chdir(tmp_path)
    archive = Path(f"my model{suffix}")
    if suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as made:
            made.write(folder / "config.json", "config.json")
    else:
        with tarfile.open(archive, "w:gz" if "gz" in suffix else "w") as packed:
            packed.add(folder / "config.json", "config.json")
    words = shlex.split(_said(archive).partition("give the folder: ")[2].rstrip(")"))
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], check=True)
    assert located(Path(words[-1])).joinpath("config.json").read_text() == CONFIG


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "modeling_x.py"])
@pytest.mark.parametrize("inside", ["", "deep/"])
@posix
def test_a_pointer_in_place_of_a_file_is_told_with_the_command(name: str, inside: str, tmp_path: Path) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    folder = _folder(tmp_path / "repo" / inside, "config.json")
    (folder / name).write_text(POINTER)
    said = _said(folder)
    assert f"{folder / name} is a git-lfs pointer, not the file" in said
    command = said.partition("(")[2].rstrip(")")
    assert shlex.split(command) == ["git", "-C", str(tmp_path / "repo"), "lfs", "pull", "--include", f"{inside}{name}"]


def test_a_pointer_without_git_or_in_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text(POINTER)
    assert "download the file itself" in _said(tmp_path)
    place = store(cache(tmp_path / "home", monkeypatch), "org/m", {"config.json": POINTER})
    assert "download org/m 'config.json' --revision" in _said(place)


def test_pointers_of_weights_are_a_remark(llama: Path) -> None:
    index = {"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}}
    (llama / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in ("m-1.safetensors", "m-2.safetensors"):
        (llama / name).write_text(POINTER)
    (llama / "tokenizer.json").write_text(POINTER)
    (llama / ".git").mkdir()
    told = [one for one in load(llama, Plan()).assumptions if "git-lfs" in one.what]
    assert sorted(one.where for one in told) == ["m-1.safetensors", "tokenizer.json"]
    assert all(f"lfs pull --include {one.where}" in one.value for one in told)


def test_an_index_and_settings_of_generation_that_are_pointers_are_told_once(llama: Path) -> None:
    names = ["generation_config.json", "model.safetensors.index.json"]
    for name in names:
        (llama / name).write_text(POINTER)
    told = [one for one in load(llama, Plan()).assumptions if one.where in names]
    assert sorted(one.where for one in told) == names and all("git-lfs pointer" in one.what for one in told)


def test_a_part_of_a_cached_model_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = cache(tmp_path / "home", monkeypatch)
    settings = {"model_type": "own", "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}}
    place = store(hub, "org/m", {"config.json": json.dumps(settings)})
    said = _said(place)
    assert "configuration_own.py is missing" in said and "download org/m '*.json' '*.py'" in said
