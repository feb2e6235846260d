"""Tells from an error whether the model's code and a library that it was written for have drifted apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Final

from analyzer.loaders.remote_code.failing_code import OWN, Failing, values_of
from analyzer.loaders.stubs.inert import StandInUsed
from analyzer.loaders.versions.old_names.history import GoneError, Past, past
from analyzer.running.traceback_frames import read

_NO_NAME: Final = re.compile(r"cannot import name '(\w+)'")
_OTHER_ARGUMENTS: Final = re.compile(
    r"([\w.<>]+)\(\) (?:got an unexpected keyword argument|missing \d+ required|takes |got multiple values"
    r"|got some positional-only)"
)
_OBJECT: Final = re.compile(r"'(\w+)' object")
_OF_NAMES: Final = (TypeError, AttributeError, KeyError, NameError, NotImplementedError)
"""Errors inside of a library that other values of an input seldom mend."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What a library has or does otherwise than the model's code expects."""

    library: str
    """Its package."""
    what: str
    """`has no DynamicCache.seen_tokens`: a predicate of the library's release; "" where the error itself says it."""
    had: str = ""
    """The last release that had it, where that is known: `4.57`."""
    known: bool = True
    """Whether an older release is known to have had it, or must have; else only a newer one may have it."""
    sure: bool = True
    """Whether it shows in the error; else it was only raised inside of the library."""


def drift_of(failing: Failing) -> Drift | None:
    """What an error shows of it; None for an error of the model's own, of an input, or of a missing package."""
    return next(filter(None, (find(failing) for find in _FINDERS)), None)


def _gone(failing: Failing) -> Drift | None:
    """A name of an older transformers that is imported and could not be lent, or was, and is used."""
    if isinstance(failing.error, GoneError):
        return Drift("transformers", "", failing.error.had)
    name = str(failing.error).split(" ", 1)[0] if isinstance(failing.error, StandInUsed) else ""
    module, _, leaf = name.rpartition(".")
    before = past(module, leaf)
    return Drift("transformers", "", before.release) if before else None


def _import(failing: Failing) -> Drift | None:
    """A name or module that an installed package does not have."""
    error, name = failing.error, getattr(failing.error, "name", None)
    if not isinstance(error, ImportError) or not isinstance(name, str):
        return None
    library = name.split(".")[0]
    if not failing.is_library(library) or name == library == str(error):
        return None
    if isinstance(error, ModuleNotFoundError):
        return Drift(library, f"has no {name}", _release(past(name))) if name != library else None
    wanted = _NO_NAME.match(str(error))
    return Drift(library, f"has no {name}.{wanted[1]}", _release(past(name, wanted[1]))) if wanted else None


def _attribute(failing: Failing) -> Drift | None:
    """An attribute that a package, or an object of its classes, does not have, and the model does not make."""
    error = failing.error
    if not isinstance(error, AttributeError) or not isinstance(error.name, str):
        return None
    holder, name = error.obj, error.name
    if isinstance(holder, ModuleType):
        library, whole = holder.__name__.split(".")[0], f"{holder.__name__}.{name}"
        is_library = failing.is_library(library)
        return Drift(library, f"has no {whole}", _release(past(holder.__name__, name))) if is_library else None
    kind = holder if isinstance(holder, type) else type(holder)
    bases = failing.bases(kind)
    if not bases:
        return None
    base, library = bases[0]
    own = base is not kind
    if own and (name in failing.made() or name in failing.settings):
        return None
    pasts = (past(one.__module__, f"{one.__name__}.{name}") for one, _ in bases)
    before = next(filter(None, pasts), None)
    if before is not None or not own:
        return Drift(library, f"has no {base.__name__}.{name}", _release(before))
    if failing.owners()[:1] != [OWN]:
        return None  # a library asks for what the code has not made yet, or never had to make
    return Drift(library, f"has no {base.__name__}.{name}, and neither the code nor config.json sets it", known=False)


def _call(failing: Failing) -> Drift | None:
    """A function of a library that was given what it does not take, or one of the model's code that a library calls."""
    said = _OTHER_ARGUMENTS.match(str(failing.error)) if isinstance(failing.error, TypeError) else None
    callers = failing.owners()
    owner = failing.definer(said[1]) if said and callers else None
    if said is None or owner is None or owner == callers[0]:
        return None
    if callers[0] == OWN:
        return Drift(owner, f"takes other arguments for {said[1]}")
    return Drift(callers[0], f"calls {said[1]} with arguments that it does not take") if owner == OWN else None


def _key(failing: Failing) -> Drift | None:
    """A key that a table of a library does not have, or that a library took out of what config.json says."""
    error, at = failing.error, failing.own_line()
    if not isinstance(error, KeyError) or not error.args or at is None:
        return None
    key, names = error.args[0], read(*at)
    for name, library in failing.imported(at[0]):
        table = at[0].f_globals.get(name)
        if name in names and isinstance(table, dict) and key not in table:
            return Drift(library, f"has no {key!r} in {name}")
    for value in values_of(*at):
        for name, table in vars(value).items() if failing.bases(type(value)) and hasattr(value, "__dict__") else ():
            if isinstance(table, dict) and key not in table and name in _ROPE and failing.settings.get(name) != table:
                return Drift(failing.bases(type(value))[0][1], f"makes another {name} of what config.json says")
    return None


_ROPE: Final = ("rope_scaling", "rope_parameters")
"""Settings that releases of transformers read into one another."""


def _object(failing: Failing) -> Drift | None:
    """An object of a library that does not do what the code's line wants of it."""
    at = failing.own_line()
    if not isinstance(failing.error, TypeError) or at is None:
        return None
    named = _OBJECT.findall(str(failing.error))
    for kind in map(type, values_of(*at)):
        if kind.__name__ in named and (bases := failing.bases(kind)) and bases[0][0] is kind:
            return Drift(bases[0][1], f"has another {kind.__name__}")
    return None


def _inside(failing: Failing) -> Drift | None:
    """An error that was raised in a library's own code, which the model's called."""
    owners = failing.owners()
    if OWN not in owners[1:] or owners[0] == OWN or not failing.is_library(owners[0]):
        return None
    if not failing.building and not isinstance(failing.error, _OF_NAMES):
        return None
    return Drift(owners[0], "raises it in its own code", sure=False)


def _release(before: Past | None) -> str:
    return before.release if before is not None else ""


_FINDERS: Final[tuple[Callable[[Failing], Drift | None], ...]] = (
    _gone, _import, _attribute, _call, _key, _object, _inside,
)  # fmt: skip
"""Ways in which it shows, those that say most first."""
