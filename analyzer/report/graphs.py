"""Reads a graph, and what was read of it, out of a saved report: the large part, in one pass over its nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeGuard, TypeVar

from analyzer.ir.flow import Flow
from analyzer.ir.graph import NOWHERE, ModelGraph, Node, Place, Script, Spec
from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.literal_types import HELD, INSERTERS, KEPT_CASTS, PHASES, STORED
from analyzer.ir.plan import Plan
from analyzer.ir.reason import UNKNOWN
from analyzer.report.arguments import read_argument, read_operand, read_real
from analyzer.report.records import (
    LARGEST,
    Misfit,
    as_list,
    as_object,
    one_of,
    read_reason,
    read_record,
    read_value,
    read_witness,
)
from analyzer.report.writer import FORWARD

DEEPEST: Final = 100
"""Modules in modules; a model has some ten."""
_TEXTS: Final = frozenset((str,))
_TEXTS_OR_NONE: Final = frozenset((str, type(None)))
_SWITCHES: Final = frozenset((bool,))
_INSERTER: Final = one_of(INSERTERS)
_PHASE: Final = one_of(PHASES)
_KEPT_CAST: Final = one_of(KEPT_CASTS)
_HELD_KIND: Final = one_of(HELD)
T = TypeVar("T")


def read_graph(plain: object) -> ModelGraph:
    """The graph; raises Misfit for what is none, an operand that no node above gives included."""
    data, graph, pool = as_object(plain), ModelGraph(), Pool()
    scripts = read_value(dict[str, Script], data.get("scripts", {}))
    callers = read_value(dict[str, tuple[Place, ...]], data.get("callers", {}))
    for number, one in enumerate(as_list(data["nodes"], "nodes")):
        try:
            node = _node(one, graph.nodes, pool, scripts, callers)
        except (KeyError, TypeError, AttributeError) as error:
            raise Misfit(f"{type(error).__name__}: {error}", "nodes", str(number)) from error
        except Misfit as error:
            raise error.within("nodes", str(number)) from error
        graph.add(node)
    graph.outputs.extend(read_operand(one, graph.nodes) for one in as_list(data.get("outputs", []), "outputs"))
    for pair in as_list(data.get("follows", []), "follows"):
        ref, other = (read_operand(one, graph.nodes) for one in as_list(pair, "follows", 2))
        graph.follows[ref] = other
    return graph


def check_depth(module: str) -> None:
    """Raise Misfit for a path of more modules than any model has, which whoever walks along it would not survive."""
    if module.count(".") > DEEPEST:
        raise Misfit(f"a module lies in more than {DEEPEST} others")


def read_flow(plain: object, graph: ModelGraph, plan: Plan, inventory: Inventory) -> Flow:
    """The reading of a graph: that of the capture, but for what the data say. Raises Misfit."""
    data = as_object(plain)
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


def read_inventory(stage: Mapping[str, object]) -> Inventory:
    """What the model holds. Raises Misfit."""
    pool = Pool()
    try:
        tensors = [_held(one, pool) for one in as_list(stage.get("tensors", []), "tensors")]
    except (KeyError, TypeError, AttributeError) as error:
        raise Misfit(f"{type(error).__name__}: {error}", "tensors") from error
    classes = read_value(dict[str, str], stage.get("modules", {}))
    others = read_record(Inventory, {k: v for k, v in as_object(stage.get("inventory", {})).items() if k != "tensors"})
    return Inventory(
        tuple(tensors), classes, others.no_split, others.ends, others.declared, others.loaded, others.unused,
        others.other_shapes, others.has_checkpoint, others.made_anew, others.tokens, others.longest,
    )  # fmt: skip


class Pool:
    """Makes of each place and each dtype with its shape one value, checked once: a graph has few that differ."""

    def __init__(self) -> None:
        self._places: dict[object, Place] = {("", 0): NOWHERE}
        self._specs: dict[object, Spec] = {}

    def place(self, file: object, line: object) -> Place:
        """A source line."""
        return _kept(self._places, (file, line), lambda: read_record(Place, {"file": file, "line": line}))

    def spec(self, dtype: object, shape: object) -> Spec:
        """A dtype with a shape."""
        if type(shape) is not list:
            raise _no_shape(shape)
        return _kept(self._specs, (dtype, *shape), lambda: _spec(dtype, shape))


def _kept(known: dict[object, T], key: object, make: Callable[[], T]) -> T:
    found = known.get(key)
    if found is None:
        found = known[key] = make()
    return found


def _spec(dtype: object, shape: list[object]) -> Spec:
    if any(type(size) is not int or not 0 <= size < LARGEST for size in shape):
        raise _no_shape(shape)
    return read_record(Spec, {"dtype": dtype, "shape": shape})


def _no_shape(data: object) -> Misfit:
    return Misfit(f"{str(data)[:40]} is no shape")


def _output(data: object, pool: Pool) -> Spec:
    one = as_object(data)
    return pool.spec(one["dtype"], one["shape"])


def _node(
    plain: object,
    nodes: Mapping[str, Node],
    pool: Pool,
    scripts: Mapping[str, Script],
    callers: Mapping[str, tuple[Place, ...]],
) -> Node:
    one = as_object(plain)
    kwargs = one["kwargs"]
    texts = one["id"], one["op"], one["name"], one["module"], one["call"], one.get("phase", FORWARD)
    if not _are_texts(texts):
        raise Misfit("id, op, name, module, call or phase is no text")
    told = one["refused"], one.get("repair"), one.get("step"), one.get("uncovered")
    if not _are_texts_or_none(told):
        raise Misfit("refused, repair, step or uncovered is neither text nor null")
    name, op, shown, module, call, phase = texts
    if name in nodes or (op in STORED and not one["outputs"]):
        raise Misfit("its name is taken, or it is a stored tensor without dtype")
    check_depth(module)
    check_depth(shown)
    refused, repair, step, uncovered = [text or "" for text in told]
    reason = UNKNOWN if one.get("reason") is None else read_reason(one["reason"], one.get("reason_kind"))
    return Node(
        name,
        op,
        tuple([read_argument(arg, nodes) for arg in as_list(one["args"], "args")]),
        tuple([(key, read_argument(value, nodes)) for key, value in as_object(kwargs).items()]) if kwargs else (),
        tuple([_output(spec, pool) for spec in as_list(one["outputs"], "outputs")]),
        shown,
        module,
        call,
        pool.place(one["file"], one["line"]),
        refused,
        repair,
        reason,
        _INSERTER(one["inserted"] or ""),
        scripts.get(name),
        callers.get(name, ()),
        _PHASE("" if phase == FORWARD else phase),
        step,
        _positions(one.get("odd")),
        _KEPT_CAST(one.get("kept_cast", "")),
        uncovered,
        _bounds(one.get("bounds")),
    )


def _bounds(data: object) -> tuple[float, float] | None:
    """The least and the greatest value of a stored tensor."""
    if data is None:
        return None
    least, greatest = (read_real(bound) for bound in as_list(data, "bounds", 2))
    return least, greatest


def _positions(data: object) -> tuple[int, ...]:
    """Which operands a repair casts."""
    found = as_list([] if data is None else data, "odd")
    positions = tuple([at for at in found if type(at) is int and at >= 0])
    if len(positions) != len(found):
        raise Misfit("odd holds what is no position")
    return positions


def _held(plain: object, pool: Pool) -> Held:
    one = as_object(plain)
    told = one["saved"], one.get("shard")
    flags = one.get("trained", False), one.get("persistent", True)
    if not (_are_texts_or_none(told) and _are_switches(flags)):
        raise Misfit("saved, shard, trained or persistent has another type")
    name = one["name"]
    if type(name) is not str:
        raise Misfit("name is no text")
    trained, persistent = flags
    saved, shard = [text or "" for text in told]
    kind, reason = _HELD_KIND(one["kind"]), read_reason(one.get("reason"), one.get("reason_kind"))
    place = pool.place(one.get("file", ""), one.get("line", 0))
    return Held(
        kind, name, pool.spec(one["dtype"], one["shape"]), trained, persistent, saved, shard, place, reason
    )  # fmt: skip


def _are_texts(values: tuple[object, ...]) -> TypeGuard[tuple[str, ...]]:
    return _TEXTS.issuperset(map(type, values))


def _are_texts_or_none(values: tuple[object, ...]) -> TypeGuard[tuple[str | None, ...]]:
    return _TEXTS_OR_NONE.issuperset(map(type, values))


def _are_switches(values: tuple[object, ...]) -> TypeGuard[tuple[bool, ...]]:
    return _SWITCHES.issuperset(map(type, values))
