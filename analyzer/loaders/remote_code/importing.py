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
from analyzer.loaders.files.own_files import NEVER, is_module, source_of
from analyzer.loaders.remote_code.environment import current
from analyzer.loaders.stubs.inert import given_to
from analyzer.loaders.stubs.ways_out import ways_out

_OWN: Final = "the error is raised by the model's own code"
_ODD: Final = "a value in one of its files may be of the wrong type: --debug shows where"
_TEXTS: Final = "_texts"
"""Attribute of the package: file -> what it held when it was imported."""


def import_class(root: Path, entry: str, *others: str) -> Any:
    """The class that an auto_map entry such as `modeling_x.XModel` names in folder `root`.

    `others` are entries that will be imported later, for one line to tell of all that is missing.
    """
    asked, entry = entry, _in_folder(root, entry)
    if asked != entry:
        current().note(f"auto_map takes {asked} from another repository", f"{entry} in the folder")
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
    entry = _in_folder(root, entry)
    if "--" in entry:
        repository, _, entry = entry.partition("--")
        raise AnalyzerError(
            f"config.json takes {entry} from another repository, {repository}, and nothing is fetched",
            hint=f"copy the .py files of {repository} into {root} and drop '{repository}--' in auto_map",
        )
    module_name = entry.rpartition(".")[0]
    if not module_name:
        raise AnalyzerError(f"auto_map entry '{entry}' is not of the form module.Class", hint="correct config.json")
    file = root.joinpath(*module_name.split(".")).with_suffix(".py")
    if not file.is_file():
        raise AnalyzerError(f"auto_map names {entry}, but {file} is missing", hint="copy the model's .py files too")
    return file


def lend(root: Path, entry: str) -> None:
    """Give the installed transformers what this code expects of an older one, while the environment lasts."""
    from analyzer.loaders.versions.old_names import prepare, restored

    place = current()
    place.add_root(plain_path(root))
    if "members" not in place.lent:
        place.lent.add("members")
        place.stack.enter_context(restored(place.note, place.asks))
    prepare(root, entry, place.stack, place.note)


def plain_path(path: Path) -> str:
    """Give the absolute path without `..`, links kept, so that file names in tracebacks can be shown relative to it."""
    return os.path.abspath(path)  # noqa: PTH100 (resolve would follow links)


@contextmanager
def user_code(root: Path, doing: str, *, package: str = "") -> Iterator[None]:
    """Run code of the model folder: whatever it raises becomes an AnalyzerError that names the line."""
    try:
        with patched(sys, "dont_write_bytecode", True, why="The model's folder is not ours to write to."):
            yield
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
    if isinstance(error, ModuleNotFoundError):
        return _missing(error, root, package)
    if isinstance(error, PermissionError) and error.filename:
        return unreadable(error, str(error.filename))
    hint = _said(error) or current().gone_without(error) or _hint(error, root)
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
    if isinstance(error, ImportError) and "transformers" in str(error):
        import transformers

        return f"the code was written for another version of transformers than {transformers.__version__}"
    if isinstance(error, OSError) and "huggingface.co" in str(error):
        return f"the code loads {_asked_for(error)} by name, and nothing is fetched: let it name a folder on disk"
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
        return AnalyzerError(
            f"{where} imports {file}, which is missing in {root}", hint="copy the model's .py files too"
        )
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


def _asked_for(error: BaseException) -> str:
    """The name under which the code asked a hub for something, as transformers' functions were given it."""
    trace, name = error.__traceback__, ""
    while trace is not None and not name:
        name = str(trace.tb_frame.f_locals.get("pretrained_model_name_or_path") or "")
        trace = trace.tb_next
    return f"'{name}'" if name else "something"


def _line(error: BaseException, root: Path) -> str:
    """The innermost line inside the model folder, else the innermost outside torch, as file:line."""
    places = SourceLines(nn.Module(), plain_path(root))
    if isinstance(error, SyntaxError) and error.filename:
        return f"{places.show(error.filename)}:{error.lineno}"
    for file, line in reversed(_lines(error, root)):
        return f"{places.show(file)}:{line}"
    return str(places.of_error(error)[0]) or root.name
