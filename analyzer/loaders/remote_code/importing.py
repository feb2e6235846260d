"""Imports a model folder's own Python files as a package, straight from where they lie."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Any, Final

from torch import nn

from analyzer.capture.patching import patched
from analyzer.capture.source_lines import SourceLines
from analyzer.errors import AnalyzerError
from analyzer.foreign.hub_cache import cached, read_id, repository_of
from analyzer.loaders.files.own_files import NEVER, is_module, source_of
from analyzer.loaders.remote_code.environment import current
from analyzer.loaders.remote_code.hub_requests import missing_model
from analyzer.loaders.stubs.inert import given_to
from analyzer.loaders.stubs.ways_out import pip_name, ways_out
from analyzer.loaders.versions.old_names.history import GoneError

_OWN: Final = "the error is raised by the model's own code"
_ODD: Final = "a value in one of its files may be of the wrong type: --debug shows where"
_LONGEST: Final = 200
"""Characters of an entry that are told, and of the module that one may name."""
_MODULE: Final = re.compile(rf"(?=.{{1,{_LONGEST}}}$)[^./\\\0]+(?:\.[^./\\\0]+)*")
"""A module below a folder: no path, which would lead out of it."""
_TEXTS: Final = "_texts"
"""Attribute of the package: file -> what it held when it was imported."""


def import_class(root: Path, entry: str, *others: str) -> Any:
    """The class that an auto_map entry such as `modeling_x.XModel` names in folder `root`.

    `others` are entries that will be imported later, for one line to tell of all that is missing.
    """
    asked, entry = entry, _in_folder(root, entry)
    if asked != entry:
        current().note(f"auto_map takes {asked} from another repository", f"{entry} in the folder")
    root, entry = find_repository(root, entry)
    file = find_file(root, entry)
    module_name, _, class_name = entry.rpartition(".")
    current().entries.extend((root, one) for one in (entry, *others))
    package = _package(root)
    with user_code(root, f"importing {file.name}", package=package):
        lend(root, module_name)
        module = importlib.import_module(f"{package}.{module_name}")
        _remember(package)
    if not hasattr(module, class_name):
        raise AnalyzerError(f"auto_map names {entry}, but {file} has no {class_name}", hint="correct config.json")
    return getattr(module, class_name)


def _in_folder(root: Path, entry: str) -> str:
    """An entry of another repository, `owner/name--module.Class`, as one of the folder where its file lies there too.

    That is so where somebody has copied the code beside the config, into the folder or one in it of that name.
    """
    repository, two, own = entry.partition("--")
    name = repository.rpartition("/")[2]
    module = own.rpartition(".")[0]
    places = ("", f"{name}.", f"{repository.replace('/', '.')}.") if two and module else ()
    return next((f"{place}{own}" for place in places if source_of(root, f"{place}{module}") is not None), entry)


def find_file(root: Path, entry: str) -> Path:
    """The file in folder `root` that an auto_map entry names. Raises AnalyzerError where it is not there."""
    root, entry = find_repository(root, _in_folder(root, entry))
    module_name = entry.rpartition(".")[0]
    if not _MODULE.fullmatch(module_name):
        raise AnalyzerError(
            f"auto_map entry '{entry[:_LONGEST]}' is not of the form module.Class", hint="correct config.json"
        )
    file = root.joinpath(*module_name.split(".")).with_suffix(".py")
    if not file.is_file():
        raise AnalyzerError(f"auto_map names {entry}, but {file} is missing", hint=_copy(root))
    return file


def _copy(root: Path) -> str:
    """How files of code come into a folder that lacks some."""
    own = repository_of(root.absolute())
    return own.download() if own is not None else "copy the model's .py files too"


def find_repository(root: Path, entry: str) -> tuple[Path, str]:
    """Where the code of an auto_map entry lies, and the entry there: `owner/name--module.Class` is of another one.

    Raises AnalyzerError where that is not in the local cache.
    """
    if "--" not in entry:
        return root, entry
    repository, _, entry = entry.partition("--")
    wanted = read_id(repository)
    place = cached(wanted) if wanted is not None else None
    if wanted is None or place is None:
        raise AnalyzerError(
            f"config.json takes {entry} from another repository, {repository}, which is not in the Hugging Face cache",
            hint=wanted.download() if wanted is not None else "correct config.json",
        )
    return place, entry


def lend(root: Path, entry: str) -> None:
    """Give the installed transformers what this code expects of an older one, while the environment lasts."""
    from analyzer.loaders.versions.old_names import Lender, prepare, release_of, restored

    place, release = current(), release_of(root)
    place.add_root(plain_path(root))
    if "members" not in place.lent:
        place.lent.add("members")
        place.stack.enter_context(restored(place.note, place.asks, release))
    prepare(root, entry, Lender(place.stack, place.note, place.asks, release))


def plain_path(path: Path) -> str:
    """Give the absolute path without `..`, links kept, so that file names in tracebacks can be shown relative to it."""
    return os.path.abspath(path)  # noqa: PTH100 (resolve would follow links)


@contextmanager
def user_code(root: Path, doing: str, *, package: str = "") -> Iterator[None]:
    """Run code of the model folder: whatever it raises becomes an AnalyzerError that names the line."""
    try:
        with patched(sys, "dont_write_bytecode", True, why="The model's folder is not ours to write to."):
            yield
    except GoneError as error:
        raise AnalyzerError(error.message, hint=current().explained(error) or error.hint) from error
    except AnalyzerError:
        raise
    except (Exception, SystemExit) as error:
        raise _told(error, root, doing, package) from error


@contextmanager
def library_code(root: Path, doing: str) -> Iterator[None]:
    """Read a folder with libraries: what they, or what we, raise over its values is told as being of the folder."""
    try:
        yield
    except AnalyzerError:
        raise
    except Exception as error:
        raise _told(error, root, doing, "") from error


def _lines(error: BaseException, root: Path) -> list[tuple[str, int]]:
    """The lines of the model's folder that an error came through, the innermost last."""
    lines = ((frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__))
    return [(file, line) for file, line in lines if file.startswith(plain_path(root))]


def _told(error: BaseException, root: Path, doing: str, package: str) -> AnalyzerError:
    if (meant := given_to(error)) is not None:
        return _told(meant.with_traceback(error.__traceback__), root, doing, package)
    drifted = current().explained(error, building=True, sure=False)
    if isinstance(error, ModuleNotFoundError) and error.name and not drifted:
        missing = _missing(error, root, package)
        return AnalyzerError(missing.message, hint=f"{missing.hint}{current().also(error.name or '')}")
    if isinstance(error, PermissionError) and error.filename:
        return unreadable(error, str(error.filename))
    if (asked := missing_model(error, _line(error, root), plain_path(root))) is not None:
        return asked
    hint = current().gone_without(error) or drifted or _said(error) or _hint(error, root)
    said = str(error).partition("\nException raised from")[0]  # torch appends where in C++
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return AnalyzerError(f"{_line(error, root)}: {what}, while {doing}", hint=hint)


def _said(error: BaseException) -> str:
    """What an error says to do, or the missing package that it was raised for."""
    cause = error.__cause__ or error.__context__
    of_package = isinstance(error, ImportError) and isinstance(cause, ModuleNotFoundError)
    return str(getattr(error, "hint", "") or (getattr(cause, "hint", "") if of_package else ""))


def _hint(error: BaseException, root: Path) -> str:
    """What to do about an error that does not say it itself."""
    if isinstance(error, ImportError) and (wanted := re.search(r"pip install [\w.-]*\w", str(error))):
        return wanted.group()
    return _OWN if isinstance(error, SyntaxError) or _lines(error, root) else _ODD


def unreadable(error: PermissionError, name: str) -> AnalyzerError:
    """What a confined worker may not do with a file, as an error that says why and what to do."""
    file = Path(name)
    if file.is_symlink():
        hint = "the link leads out of the model folder, where a worker may not read: put a copy into the folder"
    else:
        hint = "a worker reads the model, the packages and the files that you name, and writes nothing of yours"
    return AnalyzerError(f"{file}: {error.strerror or error}", hint=hint)


def _package(root: Path) -> str:
    folder = root.resolve()
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    name = f"_model_{re.sub(r'[^0-9A-Za-z]', '_', folder.name)}_{digest}"
    held = sys.modules.get(name)
    if held is None or any(_bytes(file) != text for file, text in vars(held)[_TEXTS].items()):
        current().forget()
        package = types.ModuleType(name)
        package.__path__ = [plain_path(root)]
        current().packages[name] = (Path(plain_path(root)), lend)
        vars(package)[_TEXTS] = {}
        current().stack.enter_context(
            patched(
                sys.modules, name, package, what="sys.modules: the model's folder as a package",
                why="Its files import each other relatively, from where they lie.",
            )
        )  # fmt: skip
    importlib.invalidate_caches()
    return name


def _remember(package: str) -> None:
    """Keep what the files held when they were imported: a folder that is edited is imported again."""
    texts = vars(sys.modules[package])[_TEXTS]
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{package}.") and (file := getattr(module, "__file__", None)) and file not in texts:
            texts[file] = _bytes(file)


def _bytes(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError:
        return b""


def _missing(error: ModuleNotFoundError, root: Path, package: str) -> AnalyzerError:
    where, name = _line(error, root), error.name or "?"
    own = name[len(package) + 1 :] if package and name.startswith(f"{package}.") else name
    top = own.split(".")[0]
    if own != name or (top != own and is_module(root, top)):
        file = own.replace(".", "/") + ".py"
        return AnalyzerError(f"{where} imports {file}, which is missing in {root}", hint=_copy(root))
    if top in sys.modules:
        return AnalyzerError(
            f"{where} imports {name}, which the installed {top} does not have",
            hint=f"install another version of {top}" + ("" if top in NEVER else f", or trace without it: --stub {top}"),
        )
    missing = current().missing(top)
    if len(missing) > 1:
        what = f"{root.name} needs {len(missing)} packages that are not installed, {where} the first"
        return AnalyzerError(what, hint=ways_out(missing))
    return AnalyzerError(f"{where} needs the package {top}, which is not installed", hint=ways_out(missing))


def _without(top: str) -> str:
    pinned = f"as in --with '{pip_name(top)}==...'"
    return pinned if top in NEVER else f"{pinned}, or trace without it: --stub {top}"


def _line(error: BaseException, root: Path) -> str:
    """The innermost line inside the model folder, else the innermost outside torch, as file:line."""
    places = SourceLines(nn.Module(), plain_path(root))
    if isinstance(error, SyntaxError) and error.filename:
        return f"{places.show(error.filename)}:{error.lineno}"
    for file, line in reversed(_lines(error, root)):
        return f"{places.show(file)}:{line}"
    return str(places.of_error(error)[0]) or root.name
