"""Checks every text of a saved program by the place where it stands, and leaves out those that nothing needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from keyword import iskeyword
from typing import Any, Final

import torch

from analyzer.loaders.exported.expressions import check_expression, is_symbol
from analyzer.loaders.exported.nesting import check_nesting
from analyzer.loaders.exported.operators import check_operator, registered
from analyzer.loaders.exported.refused import Refused, short

_LONGEST: Final = 4096
"""Characters of a name or a text."""
_DEEPEST: Final = 512
"""Levels of JSON; a graph in a graph takes eight."""
_PATH: Final = re.compile(r"[\w .:/+@~-]*")
"""The name of a module or a parameter, which torch writes into Python: no bracket, quote or backslash."""
_FRAME: Final = re.compile(r'File "([^"\n\\]{1,1024})", line (\d{1,9})(?:, in ([\w<>.]{1,200}))?')


def _name(text: str) -> None:
    """A name that torch writes into Python as it is."""
    if not text.isidentifier() or not text.isascii() or iskeyword(text) or len(text) > _LONGEST:
        raise Refused(f"the name {short(text)!r}")


def _empty_or_name(text: str) -> None:
    if text:
        _name(text)


def _path(text: str) -> None:
    if len(text) > _LONGEST or not _PATH.fullmatch(text):
        raise Refused(f"the name {short(text)!r}")


def _member(text: str) -> None:
    """The name of a module or a tensor: no attribute that every module has leads further."""
    _path(text)
    if any(hasattr(torch.fx.GraphModule, part) or part.startswith("__") for part in text.split(".")):
        raise Refused(f"the name {short(text)!r}")


def _symbol(text: str) -> None:
    if not is_symbol(text):
        raise Refused(f"the size {short(text)!r}")


def _odd_float(text: str) -> None:
    """What JSON has no number for."""
    if text not in ("Infinity", "-Infinity", "NaN"):
        raise Refused(f"the number {short(text)!r}")


def _quiet(text: str) -> None:
    """A string that is given, which torch writes between quotes as it is."""
    if len(text) > _LONGEST or not text.isprintable() or any(mark in text for mark in "'\"\\"):
        raise Refused(f"the text {short(text)!r}")


def _any(text: str) -> None:
    """A string of the model's own, which torch writes as `repr` does."""
    if len(text) > _LONGEST:
        raise Refused(f"the text {short(text)!r}")


_TEXTS: Final[dict[str, Callable[[str], None]]] = {
    "name": _empty_or_name,
    "as_name": _name,
    "parameter_name": _member,
    "buffer_name": _member,
    "tensor_constant_name": _member,
    "user_input_name": _name,
    "fqn": _member,
    "forward_arg_names": _name,
    "field_names": _name,
    "as_float": _odd_float,
    "as_floats": _odd_float,
    "as_string": _any,
    "as_strings": _any,
    "expr_str": check_expression,
    "in_spec": check_nesting,
    "out_spec": check_nesting,
    "torch_version": _path,
    "verifiers": _name,
    "path_name": _path,
}
"""The check of each text by its key; a text under any other key is refused."""
_ONLY_TEXTS: Final = frozenset(_TEXTS) - {"as_float", "as_floats"}
_LISTS: Final = frozenset({"forward_arg_names", "field_names", "as_strings", "verifiers"})
"""Texts of which there is a list."""
_DEVICES: Final = frozenset({"cpu", "cuda", "meta", "mps", "xpu", "hpu", "npu", "mtia", "xla"})
_MAPS: Final[dict[str, Callable[[str], None]]] = {
    "tensor_values": _name,
    "sym_int_values": _name,
    "sym_bool_values": _name,
    "sym_float_values": _name,
    "as_string_to_argument": _name,
    "opset_version": _path,
    "range_constraints": _symbol,
    "treespec_namedtuple_fields": _path,
    "config": _member,
}
"""The check of the keys of each map."""
_EMPTIED: Final[dict[str, list[object]]] = {"guards_code": []}
"""Left out: guards are Python that torch would compile, and the nodes refuse by themselves what does not fit."""
_CODES: Final = ("dtype", "layout", "memory_format")
"""Arguments that a number of any size would be taken for, and not looked up."""
_OBJECTS: Final = frozenset({"as_custom_obj", "custom_obj_name", "class_fqn"})


def checked_json(text: bytes) -> bytes:
    """The JSON of a program or of its weights, without what nothing needs. Raises Refused, or ValueError."""
    data = json.loads(text)
    if b"torch.ops.transformers." in text:  # which registers them where it runs experts
        with suppress(ImportError):
            import_module("transformers.integrations.moe")
    known = registered()
    return json.dumps(_checked(data, "", known, _DEEPEST)).encode()


def _checked(value: Any, key: str, known: frozenset[str], depth: int) -> Any:
    if depth == 0:
        raise Refused("too many graphs in graphs")
    if isinstance(value, str):
        _check_text(value, key, known)
        return value
    if key in _ONLY_TEXTS and value is not None and not (isinstance(value, list) and key in _LISTS):
        raise Refused(f"{short(value)!r} for {key}")
    if isinstance(value, list):
        return [_checked(one, key, known, depth - 1) for one in value]
    if isinstance(value, dict):
        return _metadata(value) if key == "metadata" else _checked_record(value, key, known, depth)
    return value


def _checked_record(value: dict[str, Any], key: str, known: frozenset[str], depth: int) -> dict[str, Any]:
    """A record by its fields, or a map by its names, and what stands in it."""
    check = _MAPS.get(key)
    for name in value:
        (check or _field)(name)
    if value.get("name") in _CODES and isinstance(given := value.get("arg"), dict) and "as_int" in given:
        raise Refused(f"a number for {value['name']}")
    if key == "as_graph" and isinstance(text := value.get("name"), str):
        _member(text)
    if key != "arg" and isinstance(text := value.get("as_string"), str):
        _quiet(text)
    return {name: _EMPTIED[name] if name in _EMPTIED else _checked(one, "" if check else name, known, depth - 1)
            for name, one in value.items()}  # fmt: skip


def _field(name: str) -> None:
    """A field of a record; those of objects of other classes are refused."""
    _name(name)
    if name in _OBJECTS:
        raise Refused("an object of a class of its own")


def _check_text(text: str, key: str, known: frozenset[str]) -> None:
    if key in ("target", "as_operator"):
        check_operator(text, known)
    elif key == "type":
        if text not in _DEVICES:
            raise Refused(f"the device {short(text)!r}")
    elif key in _TEXTS:
        _TEXTS[key](text)
    else:
        raise Refused(f"{short(key)!r}")


def _metadata(found: dict[str, Any]) -> dict[str, str]:
    """Where a node comes from: the lines, and the modules; everything else is left out."""
    kept = {}
    if isinstance(trace := found.get("stack_trace"), str):
        frames = (f'File "{file}", line {line}, in {name or "?"}' for file, line, name in _FRAME.findall(trace))
        kept["stack_trace"] = "\n".join(frames)
    if isinstance(modules := found.get("nn_module_stack"), str) and modules.isprintable():
        kept["nn_module_stack"] = modules
    return kept
