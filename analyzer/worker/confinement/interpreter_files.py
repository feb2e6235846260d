"""The files that the running interpreter, its packages and their libraries must read."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

# Where a prefix is one of these, it holds much that is not Python's: then only the folders of libraries are read.
_SHARED_PREFIXES: Final = ("/", "/usr", "/usr/local")
# Package managers whose every package lies in a folder of its own.
_STORES: Final = ("/nix/store", "/gnu/store")
_LIBRARIES: Final = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
)
_DATA: Final = (
    "/usr/share/zoneinfo",
    "/usr/share/locale",
    "/usr/share/i18n",
    "/usr/share/mime",
    "/usr/share/ca-certificates",
)
_SETTINGS: Final = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/mime.types",
    "/etc/os-release",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
)
# Never the whole of /proc: it holds the environment and the memory of every other process.
_KERNEL: Final = (
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/proc/version",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/cap_last_cap",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/max_map_count",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/null",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
)
_INSTALLED: Final = ("site-packages", "dist-packages")
_THIS_PACKAGE: Final = str(Path(__file__).resolve().parents[2])
_LINKER_SETTINGS: Final = "/etc/ld.so.conf.d"


def interpreter_paths() -> tuple[str, ...]:
    """Return what the running interpreter must read, sorted; nothing of it is a person's own folder as a whole."""
    found = {_THIS_PACKAGE, *_prefixes(), *_import_paths(), *_editable_packages(), *_library_folders()}
    found |= {target for folder in _import_paths() if Path(folder).name in _INSTALLED for target in _linked(folder)}
    own = {path for path in found if not is_too_wide(Path(path))}
    return tuple(sorted({*own, *_LIBRARIES, *_DATA, *_SETTINGS, *_KERNEL}))


def _prefixes() -> Iterator[str]:
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        if prefix not in _SHARED_PREFIXES:
            yield prefix
        yield from (store for store in _STORES if Path(store) in Path(prefix).resolve().parents)
    paths = sysconfig.get_paths()
    yield from (paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield os.path.realpath(sys.executable)


def _import_paths() -> Iterator[str]:
    # A relative entry is the current folder at the time of an import: whatever it holds is nobody's package.
    return (entry for entry in sys.path if Path(entry).is_absolute())


def _linked(folder: str) -> Iterator[str]:
    """Where packages lie that an installer put into a folder as links, each as a whole or file by file."""
    try:
        entries = list(os.scandir(folder))
        for entry in entries:
            if entry.is_symlink():
                yield os.path.realpath(entry.path)
            elif entry.is_dir():
                inner = next((one for one in os.scandir(entry.path) if not one.is_dir(follow_symlinks=False)), None)
                if inner is not None and inner.is_symlink():
                    yield str(Path(os.path.realpath(inner.path)).parent)
    except OSError:  # what cannot be listed is not imported from either
        return


def _editable_packages() -> Iterator[str]:
    """Yield the folders that setuptools' finders for editable installs lead to."""
    for finder in sys.meta_path:
        module = sys.modules.get(getattr(finder, "__module__", None) or "")
        mapping = getattr(module, "MAPPING", None)
        if isinstance(mapping, dict):
            yield from (path for path in mapping.values() if isinstance(path, str))
        namespaces = getattr(module, "NAMESPACES", None)
        if isinstance(namespaces, dict):
            yield from (path for paths in namespaces.values() for path in paths if isinstance(path, str))


def _library_folders() -> Iterator[str]:
    yield from absolute_entries(os.environ.get("LD_LIBRARY_PATH", ""))
    for file in sorted(Path(_LINKER_SETTINGS).glob("*.conf")):
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").split()
        except OSError:
            continue
        yield from (line for line in lines if line.startswith("/"))


def absolute_entries(value: str) -> Iterable[str]:
    """Return the absolute entries of a variable that lists folders, such as PYTHONPATH."""
    return [entry for entry in value.split(os.pathsep) if Path(entry).is_absolute()]


def is_too_wide(path: Path) -> bool:
    """Return whether reading a folder would mean reading somebody's home, or the whole machine."""
    folder = path.resolve()
    home = Path(os.path.expanduser("~")).resolve()  # noqa: PTH111 (without a home it returns "~" and does not raise)
    return folder == Path(folder.anchor) or folder == home or folder in home.parents
