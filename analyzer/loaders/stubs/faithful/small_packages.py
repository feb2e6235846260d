"""Small packages of plain Python that constructors use: dicts with attributes, registries, loggers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

Names = dict[str, Any]


class AttributeDict(dict[str, Any]):
    """A dict whose entries are attributes too, as are those of the dicts in it."""

    def __init__(self, *given: Any, **entries: Any) -> None:
        super().__init__()
        self.update(*given, **entries)

    def update(self, *given: Any, **entries: Any) -> None:
        """Take entries over, dicts among them as dicts of this kind."""
        for name, value in dict(*[one for one in given if one is not None], **entries).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, self._taken(value))

    def _taken(self, value: Any) -> Any:
        if isinstance(value, dict) and not isinstance(value, AttributeDict):
            return type(self)(value)
        return type(value)(map(self._taken, value)) if type(value) in (list, tuple) else value

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def copy(self) -> AttributeDict:
        """Another one with the same entries."""
        return type(self)(self)


class GrowingDict(AttributeDict):
    """As `addict.Dict`: an entry that is missing is a new, empty one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __missing__(self, name: str) -> GrowingDict:
        made = type(self)()
        self[name] = made
        return made


class Registry:
    """As `fvcore.common.registry.Registry`: objects by name, registered by a call or as a decorator."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._obj_map: dict[str, Any] = {}

    def register(self, obj: Any = None) -> Any:
        """Register an object under its name; without one, a decorator."""
        if obj is None:
            return self._registered
        return self._registered(obj)

    def _registered(self, obj: Any) -> Any:
        assert obj.__name__ not in self._obj_map, f"An object named '{obj.__name__}' was already registered!"
        self._obj_map[obj.__name__] = obj
        return obj

    def get(self, name: str) -> Any:
        """The object of a name. Raises KeyError where there is none."""
        if name not in self._obj_map:
            raise KeyError(f"No object named '{name}' found in '{self._name}' registry!")
        return self._obj_map[name]

    def __contains__(self, name: str) -> bool:
        return name in self._obj_map

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._obj_map.items())


class Quiet:
    """A logger that says nothing; its methods give it again, so that calls may be chained."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: self


_SAME: Final[Callable[..., Any]] = lambda text, *_, **__: text  # noqa: E731 (a table's entry)
MODULES: Final[dict[str, Names]] = {
    "easydict": {"EasyDict": AttributeDict},
    "addict": {"Dict": GrowingDict},
    "munch": {"Munch": AttributeDict},
    "fvcore.common.registry": {"Registry": Registry},
    "loguru": {"logger": Quiet()},
    "termcolor": {"colored": _SAME, "cprint": lambda *_, **__: None},
}
"""Module -> its names."""
