"""Lets the files of a model's folder import each other as the author's Python let them: by plain names, and from above.

Only what a file of the folder imports is looked for there, and the modules keep the folder's own name in
`sys.modules`: nobody else can get one of them under the name of a package.
"""

from __future__ import annotations

import builtins
import importlib.util
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from analyzer.capture.patching import patched
from analyzer.ir.findings import Note
from analyzer.loaders.files.own_files import is_module, own_module
from analyzer.loaders.stubs import OWN_NAME

Package = tuple[Path, Callable[[Path, str], None]]
"""A model's folder, and what is called with it and a module in it before that is imported."""
_ABOVE: Final = {1: "transformers.models", 2: "transformers"}
"""Levels above the folder -> the package there, for code that was written inside of transformers."""


@contextmanager
def own_imports(packages: Mapping[str, Package], note: Note, stood_in: Collection[str] = ()) -> Iterator[None]:
    """While this lasts, modules of `packages`, each of which is a folder, find the files beside them.

    In the place of the installed packages `stood_in` they alone get stand-ins.
    """
    before: Any = builtins.__import__

    def import_(
        name: str, globals: Any = None, locals: Any = None, fromlist: Sequence[str] | None = (), level: int = 0
    ) -> Any:
        package = str((globals or {}).get("__name__", "")).partition(".")[0]
        if package not in packages:
            return before(name, globals, locals, fromlist, level)
        root, prepare = packages[package]
        if level:
            depth = len(str(globals.get("__package__") or package).split("."))
            if level <= depth:
                return before(name, globals, locals, fromlist, level)
            name = _above(root, package, name, level - depth, tuple(fromlist or ()), note)
            return before(name, globals, locals, fromlist, 0)
        here = Path(str(globals.get("__file__") or root / "_")).parent
        path = own_module(root, here, name, tuple(fromlist or ()))
        if path is None:
            own = f"{OWN_NAME}{name}" if name.partition(".")[0] in stood_in else name
            return before(own, globals, locals, fromlist, 0)
        if f"{package}.{path}" not in sys.modules:
            prepare(root, path)
        made = before(f"{package}.{path}", globals, locals, fromlist or ("__name__",), 0)
        if fromlist:
            return made
        below = name.count(".")
        return sys.modules[f"{package}.{path}".rsplit(".", below)[0] if below else made.__name__]

    why = "Files of the model's folder import each other by plain names, as a script finds what lies beside it."
    with patched(builtins, "__import__", import_, what="builtins.__import__", why=why):
        yield


def _above(root: Path, package: str, name: str, above: int, wanted: Sequence[str], note: Note) -> str:
    """The module that `from ..name import wanted`, `above` levels over the folder, means."""
    said = f"from {'.' * (above + 1)}{name} import {', '.join(wanted)}"
    if name and is_module(root, name):
        note(f"{said}, which leads out of the folder", f"{name} in the folder")
        return f"{package}.{name}"
    base = _ABOVE.get(above, "")
    inside = ".".join(filter(None, (base, name)))
    if base and _is_there(inside):
        note(f"{said}, which leads out of the folder", f"{inside}: the code was written inside of transformers")
        return inside
    file = f"{(name or wanted[0]).replace('.', '/')}.py"
    error = ImportError(f"'{said}' leads out of the folder {root.name}")
    vars(error)["hint"] = f"copy {file} into the folder, and import it with one dot"
    raise error


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
