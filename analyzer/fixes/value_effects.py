"""Works out what a fix does to values, from the run without it and the run under it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from analyzer.ir.dtypes import is_float, keeping, kind, width
from analyzer.ir.findings import Origin
from analyzer.ir.fixes.effects import Effect, holds
from analyzer.ir.flow import Flow
from analyzer.ir.graph import CAST, Ref
from analyzer.ir.literal_types import EffectKind

_Pair = tuple[str, str]


def effects(old: Flow, new: Flow) -> tuple[Effect, ...]:
    """The stored tensors and inputs that have another dtype, the casts that are new, and what is computed narrower."""
    held = [{one.name: one.spec.dtype for one in flow.inventory.tensors} for flow in (old, new)]
    given = [{n.name: n.dtype for n in flow.graph.stored() if n.op == "input"} for flow in (old, new)]
    return (
        *_tensors("stored", *held),
        *_tensors("input", *given),
        *(Effect("cast", *pair, count) for pair, count in sorted((_casts(new) - _casts(old)).items())),
        *(
            Effect("computed", *pair, count)
            for pair, count in sorted(_narrowed(old, new, _touched(old, set())).items())
        ),
    )


def of_origins(origins: Sequence[Origin], dtype: str) -> tuple[Effect, ...]:
    """What a cast of stored tensors or inputs does to their values."""
    kinds: Mapping[str, EffectKind] = {"input": "input"}
    pairs: dict[tuple[EffectKind, str, str], list[str]] = {}
    for origin in origins:
        key = kinds.get(origin.kind, "stored"), origin.dtype, keeping(origin.dtype, dtype)
        pairs.setdefault(key, []).append(origin.name)
    return tuple(Effect(*key, len(names), names[0] if len(names) == 1 else "") for key, names in pairs.items())


def copies(flow: Flow) -> int:
    """The bytes of the copies of stored tensors that casts make in a run, those of one line once."""
    made: dict[object, int] = {}
    for node in flow.graph.ops():
        source = node.operands()[0] if node.op == CAST and node.operands() else None
        if source is not None and flow.graph[source.id].op in ("parameter", "buffer"):
            made[source, node.place] = node.outputs[0].bytes
    return sum(made.values())


def collateral(old: Flow, new: Flow) -> int:
    """How much precision is lost that somebody chose.

    That is the tensors that a class keeps in float32 and a fix narrows; one more if tensors are narrowed that no
    refused call has its dtype from; and one more if operations are computed narrower that have nothing to do with it.
    """
    after = {one.name: one.spec.dtype for one in new.inventory.tensors}
    narrowed = [one for one in old.inventory.tensors if not holds(after.get(one.name, one.spec.dtype), one.spec.dtype)]
    blamed = _blamed(old)
    kept = sum(one.reason.kind == "kept_in_fp32" for one in narrowed)
    others = any(one.name not in {origin.name for origin in blamed} for one in narrowed)
    return kept + others + bool(_narrowed(old, new, _touched(old, blamed)))


def _blamed(flow: Flow) -> set[Origin]:
    """Where the wide operands of refused calls have their dtype from, of those whose operands differ."""
    found: set[Origin] = set()
    for node_id in flow.refusals:
        floats = [ref for ref in flow.graph[node_id].operands() if is_float(flow.dtype(ref))]
        widest = max(map(flow.dtype, floats), key=width, default="")
        if any(flow.dtype(ref) != widest for ref in floats):
            found.update(o for ref in floats if flow.dtype(ref) == widest for o in flow.origins(ref))
    return found


def _touched(flow: Flow, blamed: set[Origin]) -> set[str]:
    """The operations after a refused call, and those that have their dtype from what is blamed."""
    after: set[str] = set()
    for node in flow.graph.ops():
        if flow.refused(node.id) or any(ref.id in after for ref in node.operands()):
            after.add(node.id)
    own = {node.id for node in flow.graph.ops() if node.outputs and blamed & {*flow.origins(Ref(node.id))}}
    return after | own


def _tensors(how: EffectKind, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Effect]:
    pairs: dict[_Pair, list[str]] = {}
    for name, was in before.items():
        if name in after and after[name] != was:
            pairs.setdefault((was, after[name]), []).append(name)
    for pair, names in pairs.items():
        yield Effect(how, *pair, len(names), names[0].removeprefix("kwargs.") if len(names) == 1 else "")


def _casts(flow: Flow) -> Counter[_Pair]:
    """How often a run casts one dtype to another, each line of a stack of layers once."""
    found = {
        (flow.reads(node.id)[0], node.dtype, node.place, node.call, node.inserted)
        for node in flow.graph.ops()
        if node.op == CAST and flow.reads(node.id)
    }
    return Counter((was, now) for was, now, *_ in found if was != now and kind(was) != "bool")


def _narrowed(old: Flow, new: Flow, without: Collection[str]) -> Counter[_Pair]:
    """Operations that both runs have, whose result is narrower now: what it was, and what it is."""
    was = {key: dtype for key, dtype, node_id in _results(old) if node_id not in without}
    pairs = ((was[key], dtype) for key, dtype, _ in _results(new) if key in was)
    return Counter((before, now) for before, now in pairs if not holds(now, before))


def _results(flow: Flow) -> Iterator[tuple[tuple[object, ...], str, str]]:
    """What stays the same of an operation when a cast is written beside it, the dtype that it gives, and its node."""
    seen: Counter[tuple[object, ...]] = Counter()
    for node in flow.graph.ops():
        dtype = next(iter(flow.dtypes[node.id]), "")
        if node.op == CAST or not is_float(dtype):
            continue
        key = node.op, node.module, node.place.file, node.call, node.phase, node.step
        seen[key] += 1
        yield (*key, seen[key]), dtype, node.id
