"""A checkout of a stranger's pull request, with a trap at every place where a tool might import, run or read one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "analyzer", "click", "graphviz", "networkx", "numpy", "packaging", "peft", "pip", "pygraphviz", "rich",
    "safetensors", "setuptools", "timm", "tomli", "torch", "transformers", "yaml",
)  # fmt: skip
"""What analyze imports, or would if it were there."""
LIBRARY: Final = (
    "ast", "asyncio", "code", "codecs", "collections", "contextlib", "ctypes", "dataclasses", "encodings", "enum",
    "inspect", "io", "json", "linecache", "logging", "pathlib", "platform", "random", "re", "runpy", "select",
    "signal", "site", "sitecustomize", "socket", "string", "subprocess", "tempfile", "tokenize", "traceback",
    "types", "typing", "usercustomize", "warnings",
)  # fmt: skip
"""What Python imports by itself, or for one of these."""
PROGRAMS: Final = (
    "bash", "cat", "cp", "env", "git", "grep", "ln", "mkdir", "mktemp", "mv", "od", "pip", "printf", "python",
    "python3", "readlink", "realpath", "rm", "sed", "tr", "uv",
)  # fmt: skip
"""What a script starts by name."""
_CONFIG: Final = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16", "vocab_size": 64,
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip
_TOML: Final = """
[tool.analyzer]
suppress = [{ code = "DT101", module = "x\\n::error::pwned", reason = "##[error]pwned\\n::set-env name=A::pwned" }]
[build-system]
requires = []
build-backend = "trap"
backend-path = ["."]
"""


def hostile(top: Path, marks: Path) -> Path:
    """A repository with a plain model on main, and on a branch traps that leave a file in `marks` when they spring."""
    marks.mkdir()
    model = top / "model"
    model.mkdir(parents=True)
    (model / "config.json").write_text(json.dumps(_CONFIG))
    git(top, "init", "-q", "-b", "main")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "one")
    git(top, "checkout", "-q", "-b", "stranger")
    for folder in (top, model):
        for name in (*PACKAGES, *LIBRARY, "trap", "setup"):
            trap(folder / f"{name}.py", marks)
    for name in PROGRAMS:
        program(top / name, marks)
    (top / "pyproject.toml").write_text(_TOML)
    (top / "setup.cfg").write_text("[install]\nprefix = /nowhere\n")
    (top / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:1/\nrequire-hashes = true\n")
    (top / "constraints.txt").write_text("no such thing\n")
    (top / "::error::pwned\n::error::pwned.json").write_text("{}")
    (model / "x\n::error::pwned.py").write_text("x = 1  # analyzer: ignore[DT101] ##[error]pwned\n")
    entry = {"code": "DT101", "key": "1", "message": "x\n::error::pwned", "module": "m\n::error::pwned##[error]pwned"}
    (top / "known.json").write_text(json.dumps({"version": 1, "findings": [entry]}))
    (model / "config.json").write_text(json.dumps({**_CONFIG, "num_hidden_layers": 1}))
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "two\n::error::pwned")
    return top


def trap(file: Path, marks: Path) -> None:
    """A module that says that it was imported, even where Python has no `open` yet, and goes on."""
    made = f"posix.open({str(marks / file.name)!r}, posix.O_CREAT | posix.O_WRONLY)"
    file.write_text(f"import posix\nposix.close({made})\n")


def program(file: Path, marks: Path) -> None:
    """A program that says that it was started."""
    file.write_text(f"#!/bin/sh\n: >{marks / file.name}\n")
    file.chmod(0o755)


def git(folder: Path, *args: str) -> None:
    """Run git as somebody."""
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", str(folder), *who, *args], check=True, capture_output=True)


def interpreter(folder: Path, *paths: str) -> Path:
    """A Python of its own in which the packages at these paths are installed, as links to folders."""
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "beside.pth").write_text("".join(f"{path}\n" for path in paths))
    return folder / "bin" / "python"


def action(folder: Path, *paths: str) -> Path:
    """The action as it lies on a runner: its own files, and a package that installs from them without a network."""
    shutil.copytree(ROOT / "integrations", folder / "integrations")
    shutil.copy(ROOT / "action.yml", folder)
    (folder / "pyproject.toml").write_text(_PROJECT)
    (folder / "backend.py").write_text(_BACKEND.format(lines="".join(f"{path}\n" for path in paths)))
    return folder


_PROJECT: Final = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "analyze-from-here"
version = "1"
"""
_BACKEND: Final = """
import zipfile
INFO = "analyze_from_here-1.dist-info"
FILES = {{
    "analyze-from-here.pth": {lines!r},
    f"{{INFO}}/METADATA": "Metadata-Version: 2.1\\nName: analyze-from-here\\nVersion: 1\\n",
    f"{{INFO}}/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
}}
def build_wheel(folder, settings=None, metadata=None):
    name = "analyze_from_here-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{{folder}}/{{name}}", "w") as wheel:
        for file, text in FILES.items():
            wheel.writestr(file, text)
        record = "".join(f"{{file}},,\\n" for file in [*FILES, f"{{INFO}}/RECORD"])
        wheel.writestr(f"{{INFO}}/RECORD", record)
    return name
"""
