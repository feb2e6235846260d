"""`python docs/patches.py` writes docs/patches.md, from the sources: patches of libraries, and module state."""

from __future__ import annotations

import ast
import re
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
STATE_HEAD = """
## Module state

What a module of the tool itself holds that is written to after its import. There is no other: a test looks.

| Where | What it holds, and why |
|---|---|
"""
_OF_DATA = "A cache of a data file that comes with the tool."
STATE = {
    "analyzer/running/real_runs/real_tensors.py: _REAL": "Whether a real run goes on: its tensors are real.",
    "analyzer/actions/source_quotes.py: packages()": "A cache of where packages are installed.",
    "analyzer/api.py: DISPLAYS": "How a report shows itself in a notebook: filled at import, from a floor above.",
    "analyzer/capture/autocast/policies.py: _ANSWERS": "A cache of what autocast's kernels do, by signature.",
    "analyzer/capture/autocast/policies.py: _TURNS": "A counter; only the order of its numbers in one answer counts.",
    "analyzer/capture/autocast/policies.py: keeps_gradients()": "A cache of one answer of the installed torch.",
    "analyzer/capture/refusals/replay.py: _SAID": "A cache of what torch says of a refused call, by signature.",
    "analyzer/capture/refusals/repro_script.py: _TRIED": "A cache of scripts that were run, by their text.",
    "analyzer/capture/refusals/conditions.py: _parsed()": "A cache of parsed files, by their text; 32 at most.",
    "analyzer/capture/tensor.py: Abstract.__name__": "Set once, as errors name the types of what they are given.",
    "analyzer/capture/tensor.py: Abstract.__qualname__": "The same.",
    "analyzer/capture/source_lines.py: _TOLD": "A stack of the lines that were told; empty outside of a trace.",
    "analyzer/running/process_state.py: _STARTS": "A stack of settings before each trace; empty outside of one.",
    "analyzer/capture/tracing/signature.py: signature()": "A cache of schemas, by operator.",
    "analyzer/capture/calls/higher_order.py: _SAID": "A cache of what torch says of what branches give.",
    "analyzer/capture/wrapper_subclasses.py: _WRAPS": "A cache of classes: whether their tensors hold others.",
    "analyzer/fixes/writes.py: _signature()": "A cache of schemas, by operator.",
    "analyzer/fixes/source_file.py: _parsed()": "A cache of parsed files, by their text; 32 at most.",
    "analyzer/render/script_lines.py: functions()": _OF_DATA,
    "analyzer/report/records.py: _reader()": "A cache of how a class of ours is read, by its annotations.",
    "analyzer/loaders/quantised/experts.py: _reading()": "A cache of classes: modules of one class stay so.",
    "analyzer/loaders/quantised/layer.py: named()": "A cache of classes: modules of one class stay so.",
    "analyzer/loaders/remote_code/environment.py: _NOW": "The environment that lasts now; empty outside of a trace. "
    "Calls that come back to us through a library have no other way to it.",
    "analyzer/render/layout_engine.py: engine()": "Where the layout engine lies: it stays there while a command runs.",
    "analyzer/loaders/files/own_files.py: _defined()": "A cache of what modules define, by their text; 64 at most.",
    "analyzer/loaders/versions/old_names/classes/signatures.py: _read()": _OF_DATA,
    "analyzer/loaders/versions/old_names/history.py: _read()": _OF_DATA,
    "analyzer/loaders/limits/sizes.py: limit_of()": "A cache of the row that a key of a config belongs to.",
    "analyzer/watched.py: _WRITER": "The pipe to the process that waits: set once, in the command's own process.",
    "analyzer/oracle/__init__.py: _ANSWERS": "A cache of what kernels answer, by signature: they are asked once.",
    "analyzer/oracle/device_rows.py: _ARGUMENTS": "A cache of names of arguments, by operator.",
    "analyzer/oracle/device_rows.py: _by_op()": _OF_DATA,
    "analyzer/oracle/device_rows.py: load()": _OF_DATA,
    "analyzer/oracle/operator_dtypes.py: _by_function()": _OF_DATA,
    "analyzer/oracle/operator_dtypes.py: _by_op()": _OF_DATA,
    "analyzer/oracle/operator_dtypes.py: load()": _OF_DATA,
    "analyzer/plans/known_keys.py: known()": _OF_DATA,
    "analyzer/render/check/words.py: pages()": "A cache of the pages of the rules.",
    "analyzer/running/forward.py: Abstract.running": "A counter of captures, by which tensors that a model kept "
    "from an earlier one are told apart.",
}
"""Where and what -> why it is there."""
_WRITES = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}
"""Methods that change what they are called on."""


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
    state = (f"| `{where}` | {why} |\n" for where, why in sorted(STATE.items()))
    return HEAD + "".join(rows) + STATE_HEAD + "".join(state)


def module_state() -> set[str]:
    """Every name of a module that its functions write to, or that caches what it gives."""
    files = sorted((ROOT / "analyzer").rglob("*.py"))
    return {f"{file.relative_to(ROOT)}: {name}" for file in files for name in _written(file)}


def _written(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = set(_bound(tree))
    for one in tree.body:
        if isinstance(one, ast.FunctionDef) and any("cache" in ast.unparse(how) for how in one.decorator_list):
            yield f"{one.name}()"
    for one in ast.walk(tree):
        if isinstance(one, ast.Global):
            yield from one.names
        for place in _changed(one):
            if place in names or re.fullmatch(r"_?[A-Z]\w+\.\w+", place):
                yield place


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that a module gives a value, or takes from another module of the tool."""
    for one in tree.body:
        if isinstance(one, ast.ImportFrom) and (one.module or "").startswith("analyzer"):
            yield from (alias.asname or alias.name for alias in one.names)
        elif isinstance(one, (ast.Assign, ast.AnnAssign)):
            yield from (
                inner.id for inner in ast.walk(one) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
            )


def _changed(one: ast.AST) -> Iterator[str]:
    """What a statement or a call changes: the dict of `d[k] = v`, the list of `l.append(x)`, `C.n` of `C.n += 1`."""
    if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in _WRITES:
        yield ast.unparse(one.func.value)
    if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "next" and one.args:
        yield ast.unparse(one.args[0])
    targets = one.targets if isinstance(one, (ast.Assign, ast.Delete)) else []
    if isinstance(one, ast.AugAssign):
        targets = [one.target]
    for target in targets:
        for place in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(place, ast.Subscript):
                yield ast.unparse(place.value)
            elif isinstance(place, ast.Attribute):
                yield ast.unparse(place)


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
        target = (
            one.targets[0] if isinstance(one, ast.Assign) else one.target if isinstance(one, ast.AnnAssign) else None
        )
        value = getattr(one, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield target.id, value


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
