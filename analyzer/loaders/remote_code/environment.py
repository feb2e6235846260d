"""What a model's code finds around it while it is loaded and run: stand-ins, old names, a GPU that is not there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from analyzer.capture.emulation.cuda import OWN, answering
from analyzer.capture.patching import appended, patched
from analyzer.ir.findings import Assumption
from analyzer.loaders.files.needed_imports import needed
from analyzer.loaders.files.own_files import is_installed
from analyzer.loaders.remote_code.consent import answered
from analyzer.loaders.remote_code.last_finder import LastFinder
from analyzer.loaders.remote_code.module_cleanup import forget, gathered
from analyzer.loaders.remote_code.offline import offline
from analyzer.loaders.remote_code.origin import Origin
from analyzer.loaders.remote_code.own_imports import Package, own_imports
from analyzer.loaders.stubs import OWN_NAME, Finder, standing_in
from analyzer.loaders.stubs.inert import given_to
from analyzer.loaders.stubs.packages import KERNELS, LAUNCHED, stood_for
from analyzer.loaders.stubs.ways_out import ways_out
from analyzer.plans.stub_names import AUTO
from analyzer.running.process_state import left_as_found


@dataclass(frozen=True, slots=True)
class Environment:
    """What is lent to the model's code for as long as `stack` lasts."""

    stack: ExitStack
    finder: Finder
    last: list[LastFinder] = field(default_factory=list)
    """The one that knows what is missing."""
    stubs: tuple[str, ...] = ()
    """The packages that a person wants stand-ins for; AUTO for all that are missing."""
    entries: list[tuple[Path, str]] = field(default_factory=list)
    """Folders, and the modules in them that are imported, each as `module` or `module.Class`."""
    packages: dict[str, Package] = field(default_factory=dict)
    """Name under which a folder is imported as a package -> the folder, and what prepares its modules."""
    roots: list[str] = field(default_factory=list)
    """Folders whose files are the model's own code."""
    noted: set[Assumption] = field(default_factory=set)
    """What had to be assumed."""
    lent: set[str] = field(default_factory=set)
    """What was lent once for all folders."""
    known: frozenset[str] = field(default_factory=lambda: frozenset(sys.modules))
    """Modules that were imported before."""
    path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))
    """Where Python looked for modules before."""
    libraries: list[Any] = field(default_factory=list)
    """What holds the operators that the model's own code has defined."""

    origins: list[Origin] = field(default_factory=list)
    """The world that the model which was loaded last was written in."""

    def note(self, what: str, value: str) -> None:
        """Remember an assumption."""
        self.noted.add(Assumption(what, value))

    def explained(self, error: BaseException, *, building: bool = False, sure: bool = True) -> str:
        """What to do about an error, if the model's code and a library have drifted apart; "" if not."""
        return self.origins[-1].explained(error, self.roots, building=building, sure=sure) if self.origins else ""

    def also(self, module: str) -> str:
        """That another interpreter of the person's own has a module that is missing here; "" where none has."""
        return self.origins[-1].also(module.split(".")[0]) if self.origins else ""

    def asks(self, frame: Any) -> str:
        """Whose a frame is: the model's own code, or transformers asking for a kernel package."""
        if any(one is not None and one.f_code.co_name.startswith("is_flash_attn") for one in (frame, frame.f_back)):
            return "transformers"
        return OWN if str(frame.f_code.co_filename).startswith(tuple(self.roots)) else ""

    def add_root(self, root: str) -> None:
        """Take a folder's files for the model's own code from now on."""
        if (prefix := root + os.sep) not in self.roots:
            self.roots.append(prefix)

    def forget(self) -> None:
        """Forget the modules and operators of the model's own code, so that an edited file is read again."""
        forget(self.known, self.path, self.roots)
        while self.libraries:
            self.libraries.pop()._destroy()

    def missing(self, *tops: str) -> list[str]:
        """The packages that the model's own code needs and that are not there, `tops` among them."""
        found = [one for root, entry in self.entries for one in needed(root, [entry], self._is_missing)]
        return list(dict.fromkeys((*found, *tops)))

    def gone_without(self, error: BaseException) -> str:
        """What to do about an error over a stand-in, or in code that went on without packages over None; else ""."""
        if (meant := given_to(error)) is not None:
            return f"{meant}: {meant.hint}"
        names = list(self.last[-1].guarded) if self.last else []
        nothing = isinstance(error, NameError) or "NoneType" in str(error)
        if not names or not nothing or not isinstance(error, (NameError, AttributeError, TypeError)):
            return ""
        verb = "is" if len(names) == 1 else "are"
        return f"{', '.join(names)} {verb} not installed, and the code went on: {ways_out(names, named=True)}"

    def _is_missing(self, top: str) -> bool:
        return top not in self.finder.names and top not in sys.stdlib_module_names and not is_installed(top)

    def assumptions(self) -> tuple[Assumption, ...]:
        """What was assumed so far, the stand-ins that were imported, and stubs that nothing imported."""
        stood = {Assumption(f"the package {name}", stood_for(name)) for name in self.finder.imported}
        named = [name for name in self.stubs if name != AUTO and name not in self.finder.imported]
        idle = {Assumption(f"--stub {name}", "never imported") for name in named}
        return tuple(sorted(self.noted | stood | idle))


_NOW: list[Environment] = []


@contextmanager
def environment(device: str, stubs: Sequence[str] = (), *, trust: bool = False) -> Iterator[Environment]:
    """The environment that lasts already, or a new one for a plan on `device`."""
    if _NOW:
        yield _NOW[-1]
        return
    with ExitStack() as stack:
        installed = [name for name in KERNELS if device == "cuda" and find_spec(name)]  # they take no abstract tensors
        stack.enter_context(left_as_found())
        stack.enter_context(offline())
        stack.enter_context(answered(trust))
        named = [name for name in stubs if name != AUTO]
        made = Environment(stack, stack.enter_context(standing_in((*named, *installed))), stubs=tuple(stubs))
        stack.callback(made.forget)
        last = LastFinder(made.finder, made.asks, lambda top: ways_out(made.missing(top)), auto=AUTO in stubs)
        made.last.append(last)
        stack.enter_context(appended(sys.meta_path, last, what="sys.meta_path", why="It sees what nobody has found."))
        launched = [name for name in LAUNCHED if device == "cuda" and name not in named and find_spec(name)]
        for name in launched:
            made.finder.add(f"{OWN_NAME}{name}", hidden=True)
        stack.enter_context(own_imports(made.packages, made.note, launched))
        stack.enter_context(gathered(made.asks, made.libraries))
        stack.enter_context(answering(device, made.asks, made.note))
        why = "What the model's own code compiles stays the Python that it is written in."
        stack.enter_context(patched(torch, "compile", _plain(torch.compile, made), why=why))
        stack.enter_context(patched(torch.jit, "script", _plain(torch.jit.script, made), why=why))
        _NOW.append(made)
        stack.callback(_NOW.remove, made)
        yield made


def _plain(before: Any, place: Environment) -> object:
    """A compiler that leaves the model's own code as it is."""

    def compiled(function: Any = None, *args: Any, **kwargs: Any) -> Any:
        if place.asks(sys._getframe(1)) != OWN:
            return before(function, *args, **kwargs)
        return function if function is not None else lambda later: later

    return compiled


def current() -> Environment:
    """The environment that lasts now; raises IndexError outside of one."""
    return _NOW[-1]
