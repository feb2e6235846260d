"""Where the escapes are tried: a folder with a model, a scratch folder and secrets, and a neighbour to attack."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analyzer.worker.confinement.calls import COLUMNS, NUMBERS

SECRET = "what nobody may read"
_NEIGHBOUR = """
import ctypes, sys
text = ctypes.create_string_buffer(sys.argv[1].encode())
print(ctypes.addressof(text), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Place:
    root: str
    neighbour: int
    """A process of the same user, with a secret in its environment and at `address` in its memory."""
    address: int
    tcp: int
    udp: int
    abstract: str
    inherited: int
    """The descriptor of an open secret."""

    @property
    def model(self) -> Path:
        return Path(self.root, "model")

    @property
    def scratch(self) -> Path:
        return Path(self.root, "scratch")

    @property
    def outside(self) -> Path:
        return Path(self.root, "outside")

    @property
    def key(self) -> Path:
        return Path(self.root, "home", ".ssh", "id_ed25519")


@contextmanager
def place(root: Path) -> Iterator[Place]:
    for name in ("model", "scratch", "outside", "home/.ssh", "weights"):
        (root / name).mkdir(parents=True)
    (root / "home" / ".ssh" / "id_ed25519").write_text(SECRET, encoding="utf-8")
    (root / "model" / "config.json").write_text("{}", encoding="utf-8")
    (root / "model" / "link.json").symlink_to(root / "home" / ".ssh" / "id_ed25519")
    (root / "model" / "link.safetensors").symlink_to(root / "home" / ".ssh" / "id_ed25519")
    (root / "weights" / "part.safetensors").write_text("weights", encoding="utf-8")
    (root / "model" / "part.safetensors").symlink_to(root / "weights" / "part.safetensors")
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        # The path of a unix socket has at most 107 characters: less than pytest's folders may take.
        short = stack.enter_context(tempfile.TemporaryDirectory())
        named = stack.enter_context(socket.socket(socket.AF_UNIX))
        named.bind(f"{short}/s")
        named.listen()
        (root / "outside" / "unix").symlink_to(f"{short}/s")
        unnamed = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract = f"\0analyze-{os.getpid()}-{root.name}"
        unnamed.bind(abstract)
        unnamed.listen()
        secret = stack.enter_context(open(root / "home" / ".ssh" / "id_ed25519", "rb"))  # noqa: PTH123
        neighbour = stack.enter_context(_neighbour())
        assert neighbour.stdout is not None
        address = int(neighbour.stdout.readline())
        ports = tcp.getsockname()[1], udp.getsockname()[1]
        yield Place(str(root), neighbour.pid, address, *ports, abstract, secret.fileno())


@contextmanager
def _neighbour() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _NEIGHBOUR, SECRET]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, "SECRET": SECRET}, **pipes) as process:
        yield process  # ends when its standard input is closed


def as_text(where: Place) -> str:
    return json.dumps(asdict(where))


def from_text(text: str) -> Place:
    return Place(**json.loads(text))


def raw_call(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call as foreign native code would."""
    library = ctypes.CDLL(None, use_errno=True)
    result: int = library.syscall(number, *(ctypes.c_long(it) if isinstance(it, int) else it for it in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    number = NUMBERS[name][COLUMNS[platform.machine()]]
    if number is None:
        raise OSError(errno.ENOSYS, f"no {name} on this architecture")
    return raw_call(number, *arguments)


def succeed(condition: object) -> None:
    if not condition:
        raise PermissionError(errno.EPERM, "without effect")


def buffer(text: str | bytes | Path) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(text if isinstance(text, bytes) else os.fsencode(text))
