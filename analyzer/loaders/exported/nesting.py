"""How the inputs and outputs of a saved program are nested, as the file tells: containers whose description is data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

from analyzer.loaders.exported.refused import Refused, short

_DEEPEST: Final = 64
"""Containers in containers."""
_CLASS: Final = re.compile(r"[\w.]{1,200}")
_KEY: Final = re.compile(r"""[^'"\\()\[\]{},=\x00-\x1f\x7f-\x9f\u2028\u2029]{0,200}""")
"""A key of a dict of inputs: no bracket, quote, comma, equals sign or end of a line."""
_OF_TRANSFORMERS: Final = re.compile(
    r"(transformers\.(?:modeling_outputs|cache_utils|models\.[a-z0-9_]+\.modeling_[a-z0-9_]+))\.[A-Z]\w*", re.ASCII
)
"""Modules of transformers that define outputs and caches."""


def check_nesting(text: str) -> None:
    """Raises Refused for a description (of torch.utils._pytree) by which torch would import or write code."""
    try:
        protocol, tree = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(f"the description of inputs {short(text)!r}") from error
    if protocol != 1:
        raise Refused(f"the description of inputs {short(text)!r}")
    _tree(tree, _DEEPEST)


def _tree(tree: Any, depth: int) -> None:
    if not isinstance(tree, dict) or tree.keys() - {"type", "context", "children_spec"} or depth == 0:
        raise Refused(f"the description of inputs {short(tree)!r}")
    kind, context = tree.get("type"), tree.get("context")
    _learn(kind)
    if not (_SPECS[kind](context) if kind in _SPECS else kind in _own_types() and _is_data(context)):
        raise Refused(f"inputs of the kind {short(kind)!r} with {short(context)!r}")
    for child in tree.get("children_spec") or ():
        _tree(child, depth - 1)


def _are_keys(context: object) -> bool:
    """Of a dict: torch writes those of keyword arguments into Python as they are."""
    keys = json.loads(context) if isinstance(context, str) else context
    return isinstance(keys, list) and all(
        type(key) is int or (isinstance(key, str) and _KEY.fullmatch(key) is not None) for key in keys
    )


def _is_nothing(context: object) -> bool:
    return context in (None, "null")


def _is_length(context: object) -> bool:
    return _is_nothing(context) or type(context) is int or (isinstance(context, str) and context.isdecimal())


def _is_registered(context: object) -> bool:
    """Of a namedtuple: the name of its class, which torch looks up among those that are registered."""
    return isinstance(context, str) and _CLASS.fullmatch(context) is not None


def _learn(kind: object) -> None:
    """Have transformers register the kind of an output or a cache, as it does where it is imported."""
    found = _OF_TRANSFORMERS.fullmatch(kind) if isinstance(kind, str) else None
    if found is not None:
        with suppress(ImportError):
            import_module(found[1])


def _own_types() -> frozenset[str]:
    """Containers that libraries registered with torch by themselves, such as the outputs and caches of transformers."""
    from torch.utils import _pytree

    own = (_pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE[name] for name in _pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE)
    return frozenset(
        str(_pytree.SUPPORTED_SERIALIZED_TYPES[one].serialized_type_name)
        for one in own
        if _pytree.SUPPORTED_SERIALIZED_TYPES[one].from_dumpable_context is None
        and "." in str(_pytree.SUPPORTED_SERIALIZED_TYPES[one].serialized_type_name)
    )


def _is_data(context: object) -> bool:
    """Whether it names nothing to import: torch imports the module of an enumeration, and of a default."""
    said = json.dumps(context)
    return not any(word in said for word in ("__enum__", "fqn", "default_factory", "\\u"))


_SPECS: Final[dict[object, Callable[[object], bool]]] = {
    None: _is_nothing,
    "builtins.tuple": _is_nothing,
    "builtins.list": _is_nothing,
    "builtins.NoneType": _is_nothing,
    "builtins.dict": _are_keys,
    "collections.OrderedDict": _are_keys,
    "collections.deque": _is_length,
    "collections.namedtuple": _is_registered,
}
"""Kinds of containers, and what their context may be; that of a defaultdict names a function, and is imported."""
