"""Ways out of the confinement: each returns if it succeeds, and raises if it is denied.

`python escapes.py confined PLACE` confines itself and tries all; `python escapes.py free PLACE` tries each in a child.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from analyzer.worker.confinement import Rules, confine, interpreter_paths, model_paths
from analyzer.worker.confinement.calls import COLUMNS, NUMBERS
from tests.worker.place import SECRET, Place, from_text, raw_call

Escape = Callable[[Place], object]


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


# Writing. Every escape finds a file of its own name outside.


def write(path: Path, mode: str = "w") -> None:
    with open(path, mode) as file:  # noqa: PTH123
        file.write("x")


def write_to_tmp(_: Place) -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp"):
        pass


def write_to_site_packages(_: Place) -> None:
    path = Path(os.__file__).parent / "site-packages" / "escaped.txt"
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
    "write_to_site_packages": write_to_site_packages,
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

# The network.


def connect(family: int, address: object) -> None:
    with socket.socket(family) as client:
        client.connect(address)


def send_datagram(it: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", it.udp))


def connect_to_a_named_socket(it: Place) -> None:
    connect(socket.AF_UNIX, str((it.outside / "unix").readlink()))


NETWORK: dict[str, Escape] = {
    "tcp_connect": lambda it: connect(socket.AF_INET, ("127.0.0.1", it.tcp)),
    "tcp_listen": lambda it: socket.create_server(("127.0.0.1", 0)).close(),
    "udp_send": send_datagram,
    "unix_connect": connect_to_a_named_socket,
    "abstract_unix_connect": lambda it: connect(socket.AF_UNIX, it.abstract),
    "look_up_a_name": lambda it: socket.getaddrinfo("localhost", 80),
    "socketpair": lambda it: socket.socketpair(),
    "netlink": lambda it: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "io_uring": lambda it: call("io_uring_setup", 1, ctypes.create_string_buffer(120)),
}

# Programs and processes.


def fork(_: Place) -> None:
    leave_child(os.fork())


def clone(_: Place) -> None:
    leave_child(call("clone", signal.SIGCHLD, 0, 0, 0, 0))


def clone3(_: Place) -> None:
    leave_child(
        call("clone3", ctypes.create_string_buffer(struct.pack("=8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)), 64)
    )


def leave_child(process: int) -> None:
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)


def spawn(_: Place) -> None:
    leave_child(os.posix_spawn("/bin/true", ["true"], {}))


def c_system(_: Place) -> None:
    succeed(ctypes.CDLL(None).system(b"true") == 0)


def execute_memory(_: Place) -> None:
    program = os.memfd_create("program", 0)
    os.write(program, b"#!/bin/true\n")
    os.execve(program, ["program"], {})


def execute_from_scratch(it: Place) -> None:
    program = it.scratch / "program"
    program.write_text("#!/bin/true\n", encoding="utf-8")
    program.chmod(0o755)
    os.execv(program, ["program"])


def read_memory(it: Place) -> None:
    found = ctypes.create_string_buffer(len(SECRET))
    local = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(found), len(SECRET)))
    remote = ctypes.create_string_buffer(struct.pack("=QQ", it.address, len(SECRET)))
    call("process_vm_readv", it.neighbour, local, 1, remote, 1, 0)
    succeed(found.raw.decode() == SECRET)


def take_descriptor(it: Place) -> None:
    call("pidfd_getfd", call("pidfd_open", it.neighbour, 0), 0, 0)


def own_a_descriptor_for_another(it: Place) -> None:
    import fcntl

    fcntl.fcntl(0, fcntl.F_SETOWN, it.neighbour)


def mount(it: Place) -> None:
    call("mount", buffer("none"), buffer(it.outside), buffer("tmpfs"), 0, None)
    call("umount2", buffer(it.outside), 0)


PROCESSES: dict[str, Escape] = {
    "execv": lambda it: os.execv("/bin/true", ["true"]),
    "subprocess": lambda it: subprocess.run(["/bin/true"], check=True),
    "shell": lambda it: subprocess.run("true", shell=True, check=True),
    "posix_spawn": spawn,
    "system_of_the_c_library": c_system,
    "execute_memory": execute_memory,
    "execute_from_scratch": execute_from_scratch,
    "fork": fork,
    "vfork": lambda it: call("vfork"),
    "clone": clone,
    "clone3": clone3,
    "signal_the_parent": lambda it: os.kill(os.getppid(), 0),
    "signal_a_neighbour": lambda it: os.kill(it.neighbour, 0),
    "signal_a_thread_of_a_neighbour": lambda it: call("tgkill", it.neighbour, it.neighbour, 0),
    "signal_the_group": lambda it: os.killpg(0, 0),
    "queue_a_signal": lambda it: call("rt_sigqueueinfo", it.neighbour, 0, buffer(struct.pack("=3i116x", 0, 0, -1))),
    "open_a_process": lambda it: call("pidfd_open", it.neighbour, 0),
    "own_a_descriptor_for_another": own_a_descriptor_for_another,
    "trace_a_neighbour": lambda it: call("ptrace", 0x4206, it.neighbour, 0, 0),  # PTRACE_SEIZE does not stop it
    "read_memory": read_memory,
    "take_a_descriptor": take_descriptor,
    "limit_a_neighbour": lambda it: resource.prlimit(
        it.neighbour, resource.RLIMIT_NOFILE, resource.prlimit(it.neighbour, resource.RLIMIT_NOFILE)
    ),
    "remove_a_message_queue": lambda it: call("mq_unlink", buffer("none")),
    "share_memory": lambda it: call("shmget", 0, 4096, 0o1600),
    "raise_a_limit": lambda it: call("prlimit64", 0, resource.RLIMIT_AS, buffer(b"\xff" * 16), None),
    "new_user_namespace": lambda it: call("unshare", 0x10000000),
    "mount": mount,
    "change_root": lambda it: os.chroot(it.outside),
    "change_user": lambda it: os.setuid(os.getuid()),
    "drop_no_new_privileges": lambda it: call("prctl", 38, 0, 0, 0, 0),
    "dumpable": lambda it: call("prctl", 4, 1, 0, 0, 0),
    "filter_for_another": lambda it: call("seccomp", 2, 0, buffer(struct.pack("=I", 0x7FFF0000))),
    "load_into_the_kernel": lambda it: call("bpf", 0, ctypes.create_string_buffer(128), 128),
    "watch_the_machine": lambda it: call("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0),
}

ESCAPES: dict[str, Escape] = {**WRITING, **READING, **NETWORK, **PROCESSES}


def attempt(escape: Escape, it: Place) -> str:
    try:
        escape(it)
    except socket.gaierror:
        return "denied"
    except OSError as error:
        known = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EXDEV)  # EXDEV: Landlock on links and renames
        return "denied" if error.errno in known else f"{type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "escaped"


def attempt_in_child(escape: Escape, it: Place) -> str:
    """Try without confinement; a child that becomes another program ends with 0, as that one does."""
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        outcome = attempt(escape, it)
        os._exit(0 if outcome == "escaped" else 1)
    return "escaped" if os.waitpid(process, 0)[1] == 0 else "denied"


def main(mode: str, text: str) -> None:
    it = from_text(text)
    os.chdir(it.outside)
    if mode == "confined":
        read_paths = (*interpreter_paths(), *model_paths(it.model))
        held = confine(Rules(read_paths, (str(it.scratch),), address_space=8 << 30))
        assert not held.line(), held
    for name, escape in ESCAPES.items():
        outcome = attempt(escape, it) if mode == "confined" else attempt_in_child(escape, it)
        print(json.dumps([name, outcome]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
