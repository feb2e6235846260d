"""Mutates what lies in a folder: links, pipes, devices, names, and Python files that nobody trusted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from random import Random
from typing import Final

from tests.fuzzing.inputs import Content, Link
from tests.fuzzing.payloads import CODE, pickled

Tree = dict[str, Content]
_CODE: Final = (
    "modeling_evil.py", "configuration_evil.py", "tokenization_evil.py", "processing_evil.py", "torch.py", "json.py",
    "transformers.py", "sitecustomize.py", "usercustomize.py", "conftest.py", "setup.py", "__init__.py", "__main__.py",
    "networkx.py", "antigravity.py", "yaml.py", "safetensors.py", "pipeline.py", "handler.py", "typing.py", "evil.pth",
    "custom_st.py", "analyze_inputs.py", "lora_ops.py", "analyzer/__init__.py", "diffusers/__init__.py", "X.so",
)  # fmt: skip
_CLASSES: Final = """
class Evil: pass
Config = Model = OwnConfig = OwnModel = Evil
"""
_PICKLES: Final = (
    "training_args.bin", "optimizer.pt", "pytorch_model.bin", "adapter_model.bin", "scheduler.pt", "model.ckpt",
    "rng_state.pth", "model.pkl", "tf_model.h5", "flax_model.msgpack", "diffusion_pytorch_model.bin", "model.gguf",
)  # fmt: skip
_LEAD: Final = (
    "/etc/passwd", "/dev/zero", "/dev/random", "/dev/stdin", "/dev/tty", "/proc/self/environ", "/proc/self/mem",
    "/proc/kmsg", "/nowhere", "../../../../etc/shadow", ".", "..", "/", "/tmp", "/proc",
    "/sys/kernel/tracing/trace_pipe",
)  # fmt: skip
_NAMES: Final = (
    "a\nb.json", "::error::x.py", "\x1b[31m.json", "\u202egnp.json", "x" * 255, "-rf", "a b", "%s", "[red].py",
    "\udcff.json", "<b>.safetensors", "model-00001-of-99999.safetensors", "config.json/x", "quote'\"`.py", "*", "?",
)  # fmt: skip
_FOLDER: Final = "model"


def code_added(files: Tree, random: Random, near: str) -> str:
    """A Python file beside another, under a name that something might import."""
    name = _beside(near, random.choice(_CODE))
    files[name] = (CODE + _CLASSES).encode()
    return name


def pickle_added(files: Tree, random: Random, near: str) -> str:
    """A pickle with code under a name that something might load."""
    name = _beside(near, random.choice(_PICKLES))
    files[name] = pickled(random.randrange(6))
    return name


def linked(files: Tree, random: Random, near: str) -> str:
    """A file as a link that leads away."""
    files[near] = Link(random.choice((*_LEAD, PurePosixPath(near).name)))
    return f"{near} -> {files[near].target}"  # type: ignore[union-attr]


def replaced(files: Tree, random: Random, near: str) -> str:
    """A file as a pipe, a folder, or as something of gigabytes."""
    special: tuple[Content, ...] = ("fifo", "fifo", "folder", "sparse")
    files[near] = random.choice(special)
    return f"{near} is {files[near]!r}"


def gone(files: Tree, random: Random, near: str) -> str:
    """A file fewer."""
    del files[near]
    return near


def swapped(files: Tree, random: Random, near: str) -> str:
    """Two files with each other's content."""
    other = random.choice(sorted(files))
    files[near], files[other] = files[other], files[near]
    return f"{near}, {other}"


def odd_name(files: Tree, random: Random, near: str) -> str:
    """A copy under an odd name."""
    name = _beside(near, random.choice(_NAMES))
    files[name] = files[near]
    return repr(name)[:80]


def folder_linked(files: Tree, random: Random, near: str) -> str:
    """A link in the folder that leads to a folder: upwards, to itself, or far away."""
    name = _beside(near, random.choice(("sub", "unet", "1_Pooling", "transformer", ".git", "onnx")))
    files[name] = Link(random.choice((".", "..", "/", "/proc", "/tmp", "sub")))
    return f"{name} -> {files[name].target}"  # type: ignore[union-attr]


def many(files: Tree, random: Random, near: str) -> str:
    """Thousands of files, or folders in folders."""
    if random.random() < 0.5:
        files.update({_beside(near, f"model-{n:05}-of-02000.safetensors"): b"" for n in range(2000)})
        return "2000 files"
    files[_beside(near, "d/" * 400 + "config.json")] = b"{}"
    return "400 folders in folders"


def _beside(near: str, name: str) -> str:
    folder = PurePosixPath(near).parent
    return name if str(folder) == "." else f"{folder}/{name}"


LAWS: Final[tuple[Callable[[Tree, Random, str], str], ...]] = (
    code_added, code_added, code_added, pickle_added, pickle_added, linked, linked, replaced, replaced, gone, swapped,
    odd_name, folder_linked, many,
)  # fmt: skip
