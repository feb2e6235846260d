"""Runs shell commands whose `analyze` and `python` are answered by this process, which has torch imported already."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from unittest import mock

from analyzer import cli

_SHIM = """#!{python} -IS
import json, os, socket, sys
if sys.argv[1:] == ["-I", "-c", "import analyzer"]:
    sys.exit(0)
if sys.argv[1:3] != ["-I", "-m"] and sys.argv[0].endswith("/python"):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
sys.argv[:] = [argument for argument in sys.argv if argument != "-I"]
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    line.sendall(json.dumps(sys.argv[1:]).encode() + b"\\n")
    answer = json.loads(line.makefile().read())
sys.stdout.write(answer["out"])
sys.stderr.write(answer["err"])
sys.exit(answer["code"])
"""


def run(command: list[str], folder: Path, scratch: Path, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; each `analyze ...` and `python -I -m analyzer ...` in it is `cli.main`, here."""
    address = str(scratch / "line")
    for name in ("analyze", "python"):
        shim = scratch / "bin" / name
        shim.parent.mkdir(parents=True, exist_ok=True)
        shim.write_text(_SHIM.format(python=sys.executable, address=address))
        shim.chmod(0o755)
    path = f"{scratch / 'bin'}{os.pathsep}{os.environ['PATH']}"
    home = Path.cwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as listener, (scratch / "said").open("w+") as out:
            listener.bind(address)
            listener.listen()
            listener.settimeout(0.05)
            environment = {**os.environ, **values, "PATH": path}
            with subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT) as process:
                while process.poll() is None:
                    with contextlib.suppress(TimeoutError):
                        _answer(listener.accept()[0])
            out.seek(0)
            return subprocess.CompletedProcess(command, process.returncode, out.read())
    finally:
        os.chdir(home)
        Path(address).unlink(missing_ok=True)


def _answer(line: socket.socket) -> None:
    with line:
        args = json.loads(line.makefile().readline())
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        argv = args[2:] if args[:2] == ["-m", "analyzer"] else args
        with mock.patch.object(sys, "stdout", out), mock.patch.object(sys, "stderr", err):
            code = cli.main(argv)
        said = {name: stream.buffer.getvalue().decode() for name, stream in (("out", out), ("err", err))}  # type: ignore[attr-defined]
        line.sendall(json.dumps({"code": code, **said}).encode())
