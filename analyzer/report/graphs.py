"""Reads a graph, and what was read of it, out of a saved report: the large part, in one pass over its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from analyzer.ir.flow import Flow
from analyzer.ir.graph import NOWHERE, ModelGraph, Node, Place, Script, Spec
from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.literal_types import STORED, HeldKind, Inserter, Phase
from analyzer.ir.plan import Plan
from analyzer.ir.reason import UNKNOWN
from analyzer.report.arguments import read_argument, read_operand
from analyzer.report.records import LARGEST, Misfit, read_reason, read_record, read_value, read_witness
from analyzer.report.writer import FORWARD

DEEPEST: Final = 100
"""Modules in modules; a model has some ten."""
_TEXTS: Final = frozenset((str,))
_TEXTS_OR_NONE: Final = frozenset((str, type(None)))
T = TypeVar("T")


def read_graph(data: Any) -> ModelGraph:
    """The graph; raises Misfit for what is none, an operand that no node above gives included."""
    graph, pool = ModelGraph(), Pool()
    scripts = read_value(dict[str, Script], data.get("scripts", {}))
    callers = read_value(dict[str, tuple[Place, ...]], data.get("callers", {}))
    for number, one in enumerate(_list(data["nodes"], "nodes")):
        try:
            node = _node(one, graph.nodes, pool, scripts, callers)
        except (KeyError, TypeError, AttributeError) as error:
            raise Misfit(f"{type(error).__name__}: {error}", "nodes", str(number)) from error
        except Misfit as error:
            raise error.within("nodes", str(number)) from error
        graph.add(node)
    graph.outputs.extend(read_operand(one, graph.nodes) for one in _list(data.get("outputs", []), "outputs"))
    for pair in _list(data.get("follows", []), "follows"):
        ref, other = (read_operand(one, graph.nodes) for one in _list(pair, "follows", 2))
        graph.follows[ref] = other
    return graph


def check_depth(module: str) -> None:
    """Raise Misfit for a path of more modules than any model has, which whoever walks along it would not survive."""
    if module.count(".") > DEEPEST:
        raise Misfit(f"a module lies in more than {DEEPEST} others")


def read_flow(data: Mapping[str, Any], graph: ModelGraph, plan: Plan, inventory: Inventory) -> Flow:
    """The reading of a graph: that of the capture, but for what the data say. Raises Misfit."""
    dtypes = read_value(dict[str, tuple[str, ...]], data.get("dtypes", {}))
    refusals = read_value(dict[str, str | None], data.get("refusals", {}))
    said_by = read_value(dict[str, str], data.get("said_by", {}))
    kinds = read_value(dict[str, str], data.get("said_by_kind", {}))
    witnesses = {name: read_witness(words, kinds.get(name)) for name, words in said_by.items()}
    captured = Flow.as_captured(graph, plan)
    for name, found in dtypes.items():
        if len(found) != len(captured.dtypes.get(name, ())):
            raise Misfit("not one dtype for each output", "flow", "dtypes", name)
    if strangers := {*dtypes, *refusals, *said_by} - graph.nodes.keys():
        raise Misfit(f"flow names no node: {min(strangers)[:40]}")
    words = {**captured.refusals, **refusals}
    refused = {node.id: said for node in graph if (said := words.get(node.id))} if refusals else captured.refusals
    return Flow(graph, plan, {**captured.dtypes, **dtypes}, refused, witnesses, inventory)


def read_inventory(stage: Mapping[str, Any]) -> Inventory:
    """What the model holds. Raises Misfit."""
    pool = Pool()
    try:
        tensors = [_held(one, pool) for one in _list(stage.get("tensors", []), "tensors")]
    except (KeyError, TypeError, AttributeError) as error:
        raise Misfit(f"{type(error).__name__}: {error}", "tensors") from error
    classes = read_value(dict[str, str], stage.get("modules", {}))
    others = read_record(Inventory, {k: v for k, v in _object(stage.get("inventory", {})).items() if k != "tensors"})
    return Inventory(
        tuple(tensors), classes, others.no_split, others.ends, others.declared, others.loaded, others.unused,
        others.other_shapes, others.has_checkpoint, others.made_anew,
    )  # fmt: skip


class Pool:
    """Makes of each place and each dtype with its shape one value, checked once: a graph has few that differ."""

    def __init__(self) -> None:
        self._places: dict[Any, Place] = {("", 0): NOWHERE}
        self._specs: dict[Any, Spec] = {}

    def place(self, file: Any, line: Any) -> Place:
        """A source line."""
        return _kept(self._places, (file, line), lambda: read_record(Place, {"file": file, "line": line}))

    def spec(self, dtype: Any, shape: Any) -> Spec:
        """A dtype with a shape."""
        return _kept(self._specs, (dtype, *shape), lambda: _spec(dtype, shape))


def _kept(known: dict[Any, T], key: Any, make: Callable[[], T]) -> T:
    found = known.get(key)
    if found is None:
        found = known[key] = make()
    return found


def _spec(dtype: Any, shape: Any) -> Spec:
    if type(shape) is not list or any(type(size) is not int or not 0 <= size < LARGEST for size in shape):
        raise Misfit(f"{str(shape)[:40]} is no shape")
    return read_record(Spec, {"dtype": dtype, "shape": shape})


def _node(
    one: Any, nodes: Mapping[str, Node], pool: Pool, scripts: Mapping[str, Script], callers: Mapping[str, Any]
) -> Node:
    name, kwargs = one["id"], one["kwargs"]
    texts = name, one["op"], one["name"], one["module"], one["call"], one.get("phase", FORWARD)
    if not _TEXTS.issuperset(map(type, texts)):
        raise Misfit("id, op, name, module, call or phase is no text")
    told = one["refused"], one.get("repair"), one.get("step")
    if not _TEXTS_OR_NONE.issuperset(map(type, told)):
        raise Misfit("refused, repair or step is neither text nor null")
    if name in nodes or (one["op"] in STORED and not one["outputs"]):
        raise Misfit("its name is taken, or it is a stored tensor without dtype")
    check_depth(one["module"])
    check_depth(one["name"])
    refused, repair, step = [text or "" for text in told]
    reason = UNKNOWN if one.get("reason") is None else read_reason(one["reason"], one.get("reason_kind"))
    _, op, shown, module, call, phase = texts
    return Node(
        name,
        op,
        tuple([read_argument(arg, nodes) for arg in _list(one["args"], "args")]),
        tuple([(key, read_argument(value, nodes)) for key, value in kwargs.items()]) if kwargs else (),
        tuple([pool.spec(spec["dtype"], spec["shape"]) for spec in _list(one["outputs"], "outputs")]),
        shown,
        module,
        call,
        pool.place(one["file"], one["line"]),
        refused,
        repair,
        reason,
        read_value(Inserter, one["inserted"] or ""),
        scripts.get(name),
        callers.get(name, ()),
        read_value(Phase, "" if phase == FORWARD else phase),
        step,
    )


def _held(one: Any, pool: Pool) -> Held:
    told = one["saved"], one.get("shard")
    flags = one.get("trained", False), one.get("persistent", True)
    if not (_TEXTS_OR_NONE.issuperset(map(type, told)) and {bool}.issuperset(map(type, flags))):
        raise Misfit("saved, shard, trained or persistent has another type")
    if type(one["name"]) is not str:
        raise Misfit("name is no text")
    saved, shard = [text or "" for text in told]
    kind, reason = read_value(HeldKind, one["kind"]), read_reason(one.get("reason"), one.get("reason_kind"))
    place = pool.place(one.get("file", ""), one.get("line", 0))
    return Held(kind, one["name"], pool.spec(one["dtype"], one["shape"]), *flags, saved, shard, place, reason)


def _list(data: Any, name: str, length: int | None = None) -> Any:
    if type(data) is not list or (length is not None and len(data) != length):
        raise Misfit(f"{name} is no list" + (f" of {length}" if length else ""))
    return data


def _object(data: Any) -> dict[str, Any]:
    if type(data) is not dict:
        raise Misfit(f"{str(data)[:40]} is no object")
    return data
