"""Packages that are not installed, for code that imports them: attention kernels by their contract, others inert."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

from analyzer.capture.patching import GONE, patched, prepended, reset
from analyzer.loaders.stubs.inert import Inert
from analyzer.loaders.stubs.packages import is_known, populate, release
from analyzer.loaders.stubs.ways_out import ways_out

__all__ = ["OWN_NAME", "Finder", "standing_in"]

OWN_NAME = "_stood_in_"
"""Before the name of an installed package: its stand-in, for the model's own code alone."""


class Finder(MetaPathFinder, Loader):
    """Finds modules of the packages that it stands in for, and tells `importlib.metadata` of them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.imported: set[str] = set()
        self.hidden: set[str] = set()
        """Packages that only their importers are to know of."""

    def add(self, name: str, *, hidden: bool = False) -> None:
        """Stand in for one more package from now on; of a `hidden` one nobody else is told that it is there."""
        if name not in self.names:
            self.names.append(name)
            if hidden:
                self.hidden.add(name)
            else:
                _forget()

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """A spec for a module of these packages."""
        top = fullname.split(".")[0]
        return ModuleSpec(fullname, self, is_package=True) if top in self.names else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        """An empty module that gives an inert object for any name."""
        return types.ModuleType(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill in what is known."""
        real = module.__name__
        name = real.removeprefix(OWN_NAME)
        top = name.split(".")[0]
        self.imported.add(top)
        said = release(top)
        why, hint = f"the package {top} is not there", f"{ways_out([top], stub=False)}, or give inputs that do without"
        if said is not None:
            module.__dict__["__version__"] = said[1]

        def missing(wanted: str) -> object:
            if wanted in ("__path__", "__file__", "__all__"):
                raise AttributeError(wanted)
            if is_known(f"{name}.{wanted}"):
                return importlib.import_module(f"{real}.{wanted}")
            return Inert(f"{name}.{wanted}", why, hint) if wanted != "__version__" else Inert(name, why).__version__

        populate(module, name)
        module.__getattr__ = missing  # type: ignore[method-assign]

    def find_distributions(self, context: object = None) -> Iterator[metadata.Distribution]:
        """What `importlib.metadata.version` and its like ask."""
        wanted = getattr(context, "name", None)
        for name in [name for name in self.names if name not in self.hidden]:
            title, version = release(name) or (name, "9999.0")
            if wanted is None or wanted.replace("_", "-").lower() in (title, name.replace("_", "-")):
                yield _Distribution(title, name, version)


class _Distribution(metadata.Distribution):
    def __init__(self, title: str, package: str, version: str) -> None:
        self._texts = {
            "METADATA": f"Metadata-Version: 2.1\nName: {title}\nVersion: {version}\n",
            "top_level.txt": f"{package}\n",
        }

    def read_text(self, filename: str) -> str | None:
        return self._texts.get(filename)

    def locate_file(self, path: object) -> Any:
        return path


@contextmanager
def standing_in(names: Sequence[str]) -> Iterator[Finder]:
    """While this lasts these packages, and those added to the finder's names, can be imported; never afterwards."""
    finder = Finder()
    with ExitStack() as stack:
        stack.callback(_look_again, finder)
        for name in [name for name in sys.modules if name.split(".")[0] in names]:
            stack.enter_context(
                patched(
                    sys.modules, name, GONE, what="sys.modules: packages named by --stub, kernels such as flash_attn",
                    why="The stand-in has to be imported although the package was imported before the trace.",
                )
            )  # fmt: skip
        stack.callback(_drop, finder)
        stack.enter_context(
            prepended(sys.meta_path, finder, what="sys.meta_path", why="It finds the stand-ins before the packages.")
        )
        for name in names:
            finder.add(name)
        yield finder


def _drop(finder: Finder) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in finder.names]:
        reset(sys.modules, name, GONE, what="sys.modules: the stand-ins", why="They are for one trace alone.")


def _look_again(finder: Finder) -> None:
    if finder.names:
        _forget()


def _forget() -> None:
    """Let transformers look again at which packages there are."""
    importlib.invalidate_caches()
    room = sys.modules.get("transformers.utils.import_utils")
    for value in list(vars(room).values()) if room is not None else ():
        if hasattr(value, "cache_clear"):
            value.cache_clear()
    kernels = sys.modules.get("transformers.modeling_flash_attention_utils")
    if hasattr(kernels, "_loaded_implementation"):
        reset(
            kernels, "_loaded_implementation", None,
            what="transformers.modeling_flash_attention_utils._loaded_implementation",
            why="It remembers which package of kernels was there.",
        )  # fmt: skip
