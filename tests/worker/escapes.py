"""Ways out of the confinement: each returns if it succeeds, and raises if it is denied.

`python -m tests.worker.escapes confined PLACE` confines itself and tries all; `free PLACE` tries each in a child;
`3 PLACE` confines itself as a kernel would whose Landlock has version 3.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable

from analyzer.worker.confinement import Rules, confine, interpreter_paths, landlock, model_paths
from tests.worker.file_escapes import READING, WRITING, Escape
from tests.worker.place import SECRET, Place, buffer, call, from_text, succeed

if sys.platform != "win32":  # where the names of the ways are asked for all the same
    import resource

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
    "load_into_the_kernel": lambda it: call("bpf", 0, buffer(struct.pack("=4I56x", 2, 4, 4, 1)), 72),
    "watch_the_machine": lambda it: call("perf_event_open", buffer(struct.pack("=2I120x", 1, 64)), 0, -1, -1, 0),
}

ESCAPES: dict[str, Escape] = {**WRITING, **READING, **NETWORK, **PROCESSES}
# Not tried without confinement: they would harm the machine or the attempt, or the kernel always denies them.
ONLY_CONFINED = (
    "write_to_python",
    "read_the_environment_of_init",
    "vfork",
    "drop_no_new_privileges",
    "remove_a_message_queue",
    "filter_for_another",
)


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
    if mode == "free":
        tell({name: attempt_in_child for name in ESCAPES if name not in ONLY_CONFINED}, it)
        return
    if mode != "confined":
        landlock._version = lambda: int(mode)
    readable = (*interpreter_paths(), *model_paths(it.model))
    held = confine(Rules(readable, (str(it.scratch),), address_space=8 << 30))
    assert not held.line(), held
    tell(dict.fromkeys(ESCAPES, attempt), it)


def tell(attempts: dict[str, Callable[[Escape, Place], str]], it: Place) -> None:
    for name, way in attempts.items():
        print(json.dumps([name, way(ESCAPES[name], it)]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
