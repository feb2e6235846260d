"""Reads the plain data of a saved `training_args.bin`; no code that the file names is ever imported or run."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.foreign import LARGEST, check_data, read_small


class _Inert:
    """Stands for an object of any class: keeps its arguments and its state, does nothing."""

    def __new__(cls, *args: object, **_: object) -> _Inert:
        made = super().__new__(cls)
        made.args, made.state = args, {}
        return made

    def __init__(self, *_: object, **__: object) -> None:
        self.args: tuple[object, ...]
        self.state: dict[str, object]

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}

    def append(self, _: object) -> None:
        """A list's element: dropped."""

    def extend(self, _: object) -> None:
        """A list's elements: dropped."""

    def add(self, _: object) -> None:
        """A set's element: dropped."""

    def __setitem__(self, key: object, value: object) -> None:
        """A mapping's element: dropped."""


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        """An inert class for every name but that of an ordered dict: this is what keeps code from running."""
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else type(name, (_Inert,), {})

    def persistent_load(self, pid: object) -> None:
        """Tensors' storages are not looked at."""
        return None


def read_pickled(file: Path) -> dict[str, object]:
    """Attribute -> value, enumerations by their value; objects of other classes are left out."""
    try:
        data = _pickle_in(file)
        root = _Reader(io.BytesIO(data)).load()
        if isinstance(root, int):  # torch's old format: a magic number, a version, system facts, then the object
            reader = io.BytesIO(data)
            for _ in range(3):
                _Reader(reader).load()
            root = _Reader(reader).load()
    except AnalyzerError:
        raise
    except (OSError, zipfile.BadZipFile) as error:
        raise AnalyzerError(f"cannot read {file}: {error}", hint="is it a complete, readable file?") from error
    except Exception as error:  # a pickle can be broken in any way
        raise AnalyzerError(f"{file} is no readable pickle: {error}", hint="save it again with torch.save") from error
    state = root.state if isinstance(root, _Inert) else root
    if not isinstance(state, dict) or not state:
        raise AnalyzerError(f"{file} holds no TrainingArguments", hint="give the training_args.bin of a Trainer")
    check_data(state, file)
    plain = {str(key): _plain(value) for key, value in state.items()}
    return {key: value for key, value in plain.items() if not isinstance(value, _Inert) and not key.startswith("_")}


def _pickle_in(file: Path) -> bytes:
    if not zipfile.is_zipfile(file):
        return read_small(file)
    with zipfile.ZipFile(file) as archive:
        inside = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if not inside:
            raise AnalyzerError(f"{file} holds no pickle", hint="give the training_args.bin of a Trainer")
        if archive.getinfo(inside[0]).file_size > LARGEST:
            raise AnalyzerError(f"{file} is too large to be read", hint=f"no more than {LARGEST >> 10} KiB")
        return archive.read(inside[0])


def _plain(value: object) -> object:
    if isinstance(value, _Inert) and len(value.args) == 1 and isinstance(value.args[0], (str, int)):
        return value.args[0]  # an enumeration's member
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
