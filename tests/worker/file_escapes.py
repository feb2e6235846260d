"""Ways to write outside the scratch folder, and to read what is not the model's."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.worker.place import SECRET, Place, call, succeed

Escape = Callable[[Place], object]

# Writing. Every escape finds a file of its own name outside.


def write(path: Path, mode: str = "w") -> None:
    with open(path, mode) as file:  # noqa: PTH123
        file.write("x")


def write_to_tmp(_: Place) -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp"):
        pass


def write_to_python(_: Place) -> None:
    path = Path(os.__file__).with_name("escaped.py")
    write(path)
    path.unlink()


def rename_out(it: Place) -> None:
    write(it.scratch / "renamed")
    (it.scratch / "renamed").rename(it.outside / "renamed")


def link_out(it: Place) -> None:
    write(it.scratch / "linked")
    (it.outside / "linked").hardlink_to(it.scratch / "linked")


def link_in_and_write(it: Place) -> None:
    (it.scratch / "hard").hardlink_to(it.outside / "link_in_and_write")
    write(it.scratch / "hard")


def write_through_own_symlink(it: Place) -> None:
    (it.scratch / "soft").symlink_to(it.outside / "write_through_own_symlink")
    write(it.scratch / "soft")


def truncate_while_reading(it: Place) -> None:
    os.close(os.open(it.model / "config.json", os.O_RDONLY | os.O_TRUNC))
    succeed((it.model / "config.json").stat().st_size == 0)


def truncate_without_access(it: Place) -> None:
    os.close(os.open(it.outside / "truncate_without_access", 3 | os.O_TRUNC))
    succeed((it.outside / "truncate_without_access").stat().st_size == 0)


def chmod(it: Place) -> None:
    (it.outside / "chmod").chmod(0o640)
    succeed((it.outside / "chmod").stat().st_mode & 0o777 == 0o640)


def set_times(it: Place) -> None:
    os.utime(it.outside / "set_times", (0, 0))
    succeed((it.outside / "set_times").stat().st_mtime == 0)


def bind_in_scratch(it: Place) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(it.scratch)
        server.bind("socket")


WRITING: dict[str, Escape] = {
    "write_to_home": lambda it: write(Path(it.root, "home", "new")),
    "write_to_tmp": write_to_tmp,
    "write_to_python": write_to_python,
    "write_to_model": lambda it: write(it.model / "new.py"),
    "write_to_cwd": lambda it: write(Path("new")),
    "append": lambda it: write(it.outside / "append", "a"),
    "rename_out": rename_out,
    "link_out": link_out,
    "link_in_and_write": link_in_and_write,
    "symlink_out": lambda it: (it.outside / "symlink").symlink_to("anywhere"),
    "write_through_own_symlink": write_through_own_symlink,
    "write_through_proc_cwd": lambda it: write(Path("/proc/self/cwd/new2")),
    "unlink": lambda it: (it.outside / "unlink").unlink(),
    "mkdir": lambda it: (it.outside / "folder").mkdir(),
    "truncate_the_model": lambda it: os.truncate(it.model / "config.json", 0),
    "truncate_while_reading": truncate_while_reading,
    "truncate_without_access": truncate_without_access,
    "chmod": chmod,
    "chown": lambda it: os.chown(it.outside / "chown", os.getuid(), os.getgid()),
    "set_times": set_times,
    "set_attribute": lambda it: os.setxattr(it.outside / "set_attribute", "user.note", b"x"),
    "make_pipe_in_scratch": lambda it: os.mkfifo(it.scratch / "pipe"),
    "bind_in_scratch": bind_in_scratch,
}

# Reading.


def read(path: Path) -> None:
    succeed(SECRET in path.read_text(encoding="utf-8", errors="replace"))


def only_open(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def read_by_dirfd(it: Place) -> None:
    folder = os.open(it.root, os.O_PATH | os.O_DIRECTORY)
    os.close(os.open("home/.ssh/id_ed25519", os.O_RDONLY, dir_fd=folder))


def reopen_a_path(it: Place) -> None:
    read(Path(f"/proc/self/fd/{os.open(it.key, os.O_PATH)}"))


def link_in_and_read(it: Place) -> None:
    (it.scratch / "key").hardlink_to(it.key)
    read(it.scratch / "key")


def read_through_own_symlink(it: Place) -> None:
    (it.scratch / "seen").symlink_to(it.key)
    read(it.scratch / "seen")


READING: dict[str, Escape] = {
    "read_a_key": lambda it: read(it.key),
    "list_a_folder": lambda it: os.listdir(it.key.parent),  # noqa: PTH208
    "read_through_the_models_link": lambda it: read(it.model / "link.json"),
    "read_through_a_link_named_as_weights": lambda it: read(it.model / "link.safetensors"),
    "read_through_own_symlink": read_through_own_symlink,
    "link_in_and_read": link_in_and_read,
    "read_through_dots": lambda it: read(it.scratch / ".." / "home" / ".ssh" / "id_ed25519"),
    "read_through_proc_root": lambda it: read(Path(f"/proc/self/root{it.key}")),
    "read_through_proc_cwd": lambda it: read(Path("/proc/self/cwd/read_through_proc_cwd")),
    "read_by_dirfd": read_by_dirfd,
    "reopen_a_path": reopen_a_path,
    "read_the_environment_of_the_parent": lambda it: only_open(f"/proc/{os.getppid()}/environ"),
    "read_the_environment_of_a_neighbour": lambda it: read(Path(f"/proc/{it.neighbour}/environ")),
    "read_the_memory_of_a_neighbour": lambda it: only_open(f"/proc/{it.neighbour}/mem"),
    "read_the_environment_of_init": lambda it: only_open("/proc/1/environ"),
    "read_the_passwords": lambda it: only_open("/etc/shadow"),
    "read_the_users": lambda it: only_open("/etc/passwd"),
    "list_the_processes": lambda it: os.listdir("/proc"),  # noqa: PTH208
    "read_an_inherited_descriptor": lambda it: succeed(os.pread(it.inherited, 8, 0)),
    "reopen_an_inherited_descriptor": lambda it: read(Path(f"/proc/self/fd/{it.inherited}")),
    "watch_a_folder": lambda it: call("inotify_init1", 0),
}
