"""The one room for what old remote code expects of transformers and the installed one lacks.

`members` puts back attributes of classes, `aliases` names; `history` tells of the others which release had them.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from analyzer.capture.patching import patched
from analyzer.ir.findings import Note
from analyzer.loaders.stubs.inert import Inert
from analyzer.loaders.versions.old_names import aliases, classes
from analyzer.loaders.versions.old_names.history import GoneError, Past, past
from analyzer.loaders.versions.old_names.lending import Lender
from analyzer.loaders.versions.old_names.members import is_five, restored
from analyzer.loaders.versions.old_names.wanted import Wanted, is_module, wanted

__all__ = ["Lender", "prepare", "release_of", "restored"]
NOTHING: Final = object()
"""Nothing is lent."""
_NAMES: Final = "names in modules of transformers that the model's files import"
_WHY: Final = "The files were written for an older release that had them."
_OTHERS: Final = "all but that release"


def release_of(root: Path) -> tuple[int, ...]:
    """The release of transformers that a folder's config.json names; () if it names none."""
    try:
        said = json.loads((root / "config.json").read_text(encoding="utf-8")).get("transformers_version")
    except (OSError, ValueError, AttributeError):
        return ()  # whoever reads the config will say so
    return tuple(int(part) for part in re.findall(r"\d+", str(said or ""))[:2])


def prepare(root: Path, entry: str, lender: Lender) -> None:
    """Lend the installed transformers what module `entry` of the folder, and the files that it imports, want of it.

    What can be called but has no faithful stand-in is an inert one, which fails by name if it is used. Raises
    AnalyzerError for anything else that an older transformers had. The stack takes everything back.
    """
    for one in wanted(root, entry):
        module = _module(one, lender.stack, lender.note)
        if module is None:
            continue
        if is_five():
            classes.adapt(module, lender)
        if not one.starred:
            _lend(module, one, lender)
        elif isinstance(listed := getattr(module, "__all__", None), (list, tuple)) and one.name not in listed:
            _lend_starred(module, one, listed, lender)


def _lend(module: Any, one: Wanted, lender: Lender) -> None:
    """Give a module a name that it lacks."""
    if _has(module, one.name):
        return
    made = _stand_in(module, one, lender)
    if made is not NOTHING:
        lender.stack.enter_context(patched(module, one.name, made, what=_NAMES, why=_WHY, versions=_OTHERS))


def _lend_starred(module: Any, one: Wanted, listed: Sequence[str], lender: Lender) -> None:
    """Let a star bring a name that the module has, or had: before it got its `__all__`, a star brought all of them."""
    if one.name in aliases.BESIDE and not hasattr(module, one.name):
        made = aliases.BESIDE[one.name]()
        lender.stack.enter_context(patched(module, one.name, made, what=_NAMES, why=_WHY, versions=_OTHERS))
    _lend(module, one, lender)
    if not one.name.startswith("_") and hasattr(module, one.name):
        lender.note(
            f"{one.name} of `from {one.module} import *`, which the installed release leaves out", "brought along"
        )
        lender.stack.enter_context(
            patched(
                module, "__all__", [*listed, one.name], what="__all__ of modules that the model's files import all of",
                why="The files were written for a release in which a star brought the name.",
                versions="all but that release",
            )
        )  # fmt: skip


def _module(one: Wanted, stack: ExitStack, note: Note) -> object:
    try:
        return importlib.import_module(one.module)
    except ModuleNotFoundError as error:
        if error.name != one.module:
            return None  # another package is missing: the import itself will say so
    made = aliases.module_for(one.module)
    before = past(one.module)
    if made is None and before is None:
        return None
    if made is None:
        made = type(sys)(one.module)
    else:
        said = aliases.MODULES[one.module]
        own = "the tool's own copy" if said.startswith("analyzer.") else said
        note(f"{one.module}, which the installed transformers lacks", own)
    stack.enter_context(
        patched(
            sys.modules, one.module, made, what="sys.modules: modules of transformers that the model's files import",
            why="The files were written for an older release that had them.", versions="all but that release",
        )
    )  # fmt: skip
    return made


def _stand_in(module: Any, one: Wanted, lender: Lender) -> object:
    """What is lent for a name; NOTHING for a value that no import asks for at once, which may never be needed."""
    what, note = f"{one.module}.{one.name}", lender.note
    if is_five() and (standing := classes.stand_in(module, one.name, lender)):
        note(f"{what}, which the installed transformers lacks", standing[1])
        return standing[0]
    if found := aliases.alias(one.name) or aliases.moved(one.name):
        make, said = found
        note(f"{what}, which the installed transformers lacks", said)
        return make()
    before = past(one.module, one.name)
    assert before is not None  # as `_has` says
    if before.callable and not one.name.startswith("is_"):
        note(f"{what}, which the installed transformers lacks", "a stand-in that stops the run if it is used")
        return Inert(what, _had(before))
    if one.starred or not one.at_once:
        return NOTHING
    raise GoneError(
        f"{one.file}:{one.line} imports {one.name} from {one.module}: {_had(before)}",
        before.release,
        hint=f"run analyze beside transformers {before.release}, or drop the import",
    )


def _had(before: Past) -> str:
    import transformers

    return f"transformers {transformers.__version__} does not have it, {before.release} had it"


def _has(module: Any, name: str) -> bool:
    """Whether a module has a name, or no release is known to have had it: then the import itself will say so."""
    try:
        if hasattr(module, name):
            return True
    except Exception:  # a lazy module whose import fails: the import itself will say so
        return True
    known = aliases.alias(name) is not None or past(module.__name__, name) is not None
    return not known or is_module(f"{module.__name__}.{name}")
