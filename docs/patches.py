"""`python docs/patches.py` writes docs/patches.md: what the tool changes in other libraries, read from its sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "patches.md"
LASTS = {"patched": "while it is needed", "prepended": "while it is needed", "reset": "for good"}
"""Function of `analyzer.capture.patching` -> how long its change lasts."""
HEAD = """# What is changed in other libraries

A trace runs code that expects weights, a GPU, or another release. Where a library offers no way to tell it otherwise,
the tool changes the library itself, for as long as a step of the trace lasts, and puts back what was there, also
after an error. All of it goes through `analyzer/capture/patching.py`; this page is made from those calls by
`python docs/patches.py`, and a test fails where another way is taken.

Kernels of autocast are installed with `torch.library.Library`, and hooks on modules by their own methods: both are
public ways, which give a handle to end them.

| What | Why | Releases | Lasts | Where |
|---|---|---|---|---|
"""


@dataclass(frozen=True, order=True)
class Patch:
    """One call of a function of `analyzer.capture.patching`."""

    what: str
    why: str
    versions: str
    lasts: str
    where: str


def patches() -> list[Patch]:
    """Every change of another library that the sources make; raises ValueError where one does not say what or why."""
    files = sorted((ROOT / "analyzer").rglob("*.py"))
    return sorted({patch for file in files if file.name != "patching.py" for patch in _of(file)})


def page() -> str:
    """The page."""
    rows = (f"| {p.what} | {p.why} | {p.versions} | {p.lasts} | `{p.where}` |\n" for p in patches())
    return HEAD + "".join(rows)


def _of(file: Path) -> Iterator[Patch]:
    tree, where = ast.parse(file.read_text(encoding="utf-8")), str(file.relative_to(ROOT))
    texts = dict(_texts(tree))
    imports = dict(_imports(tree))
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in LASTS):
            continue
        said = {one.arg: texts.get(ast.unparse(one.value), one.value) for one in call.keywords if one.arg}
        words = {key: value.value for key, value in said.items() if isinstance(value, ast.Constant)}
        what = words.get("what") or _named(call, imports)
        if not what or not words.get("why"):
            raise ValueError(f"{where}:{call.lineno}: say what= is changed, and why=, in plain strings")
        yield Patch(str(what), str(words["why"]), str(words.get("versions", "all")), LASTS[call.func.id], where)


def _named(call: ast.Call, imports: dict[str, str]) -> str:
    """`torch.jit.script` of `patched(torch.jit, "script", ...)`; "" if the call does not show it."""
    owner, name = ast.unparse(call.args[0]), call.args[1]
    first, _, rest = owner.partition(".")
    if first not in imports or not isinstance(name, ast.Constant):
        return ""
    return f"`{imports[first]}{'.' * bool(rest)}{rest}.{name.value}`"


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for one in ast.walk(tree):
        if isinstance(one, ast.Import):
            yield from ((alias.asname or alias.name.split(".")[0], alias.name.split(".")[0]) for alias in one.names)
        elif isinstance(one, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{one.module}.{alias.name}") for alias in one.names)


def _texts(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names that stand for a string which several calls share."""
    for one in ast.walk(tree):
        target = one.targets[0] if isinstance(one, ast.Assign) else one.target if isinstance(one, ast.AnnAssign) else None
        value = getattr(one, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield target.id, value


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
