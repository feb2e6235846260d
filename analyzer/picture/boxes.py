"""Makes the boxes of a picture: what each says, and what its tooltip says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analyzer.ir.dtypes import is_float, short
from analyzer.ir.findings import Finding, Unentered
from analyzer.ir.graph import NOWHERE, UPDATED, Node, Place, Ref, Spec, above
from analyzer.ir.text import op_name
from analyzer.picture.folding import Folded
from analyzer.picture.interest import SHOWN, Interest, mixture, worst
from analyzer.picture.marks import UNMARKED, Marks
from analyzer.picture.parts import Box
from analyzer.picture.placement import SourceLines, levels
from analyzer.picture.reading import Reading


@dataclass(frozen=True, slots=True)
class Scene:
    """What boxes and links are made from."""

    flow: Reading
    findings: Sequence[Finding]
    folded: Folded
    interest: Interest
    places: SourceLines
    href: Callable[[Place], str]
    marks: Marks = UNMARKED


def boxes(scene: Scene) -> dict[str, Box]:
    """Every box by its id, in reading order; the last is what the run returns."""
    numbers: defaultdict[str, dict[int, None]] = defaultdict(dict)
    for number, finding in enumerate(scene.findings, 1):
        for node_id in finding.nodes:
            if node_id in scene.places.box_of and (
                finding.severity in SHOWN or number in scene.interest.faults.values()
            ):
                numbers[scene.places.box_of[node_id]][number] = None
    made = {box: _box(scene, box, tuple(numbers[box])) for box in scene.places.kinds}
    if scene.flow.graph.outputs:
        made["output:"] = _output(scene.flow)
    return made


def missed(one: Unentered, open_: set[str]) -> Box:
    """The box of a module that the run never entered."""
    cluster = next((path for path in above(one.module) if path in open_), "")
    label = one.module.removeprefix(f"{cluster}.") if cluster else one.module
    tooltip = f"{one.module}: never entered\n{one.parameters:,} parameters"
    return Box(f"missed:{one.module}", f"{label}\nnever entered", "missed", tooltip, tuple(levels(cluster)[1:]))


def module_label(folded: Folded, path: str, cluster: str) -> str:
    """A module's path from the cluster that it is in, with what it stands for."""
    label = path.removeprefix(f"{cluster}.") if cluster else path
    if folded.sizes.get(path, 1) > 1:
        label = f"{label.removesuffix(path.rpartition('.')[2])}{folded.numbers[path]}  x {folded.sizes[path]}"
    label = label or "the model"
    return f"{label}, {folded.times[path]} times" if path in folded.times else label


def described(flow: Reading, node: Node, index: int, spec: Spec) -> str:
    """Dtype and shape of one output: `bf16[2,3]`."""
    return f"{short(flow.dtype(Ref(node.id, index)))}[{','.join(map(str, spec.shape))}]"


def _box(scene: Scene, box: str, numbers: tuple[int, ...]) -> Box:
    flow, places, seen = scene.flow, scene.places, scene.interest
    nodes, kind, cluster = places.nodes[box], places.kinds[box], places.clusters[box]
    originals = [node for node in nodes if scene.folded.twins[node.id] == node.id]
    dtypes = [flow.dtype(Ref(n.id)) for n in nodes if n.outputs]
    finding = worst([scene.findings[number - 1] for number in numbers])
    stories = sorted({number for node in nodes for number in seen.stories.get(node.id, ())})
    told = seen.faults.get(nodes[0].id, 0) in numbers
    return Box(
        box,
        _closed_label(scene.folded, places.modules[box], cluster)
        if kind == "module"
        else _LABELS.get(kind, _name)(originals, cluster, bool(stories)),
        kind,
        _tooltip(flow, nodes),
        tuple(levels(cluster)[1:]),
        *((finding.code, finding.severity, finding.message if told else "") if finding else ("", "", "")),
        dtypes[-1] if dtypes else "",
        len(nodes),
        details=_details(scene, nodes[0], kind) if stories and kind not in ("module", "glue") else (),
        findings=numbers,
        stories=tuple(stories),
        href=scene.href(nodes[0].place),
        mark=scene.marks.of(nodes),
    )


def _name(nodes: Sequence[Node], cluster: str, told: bool) -> str:
    name = nodes[0].name or nodes[0].id
    return name if told or not cluster else name.removeprefix(f"{cluster}.")


def op_label(nodes: Sequence[Node], cluster: str = "", told: bool = False) -> str:
    """An operation as people know it, with the call that they wrote."""
    name = op_name(nodes[0].op)
    if nodes[0].inserted:
        return f"cast by {nodes[0].inserted}"
    call = nodes[0].call.rpartition(".")[2]
    name = f"{call}: {name}" if call and call != name.partition(".")[0] else name
    name = f"{nodes[0].phase} of {name}" if nodes[0].phase else name
    return f"{nodes[0].step}: {name}" if nodes[0].step else name


def _glue_label(nodes: Sequence[Node], cluster: str, told: bool) -> str:
    names = list(
        dict.fromkeys(
            op_name(n.op).rpartition(".")[0] or op_name(n.op) for n in nodes if not (n.op == UPDATED or n.inserted)
        )
    )
    names = names or [f"cast by {nodes[0].inserted}" if nodes[0].inserted else "updated"]
    more = ", ..." if len(names) > 2 else ""
    return f"{', '.join(names[:2])}{more}" + (f" ({len(nodes)} ops)" if len(nodes) > 1 else "")


def _stop_label(nodes: Sequence[Node], cluster: str, told: bool) -> str:
    return f"{nodes[0].reason} ({nodes[0].place})" if nodes[0].place.file else nodes[0].reason.text


_LABELS: Final[Mapping[str, Callable[[Sequence[Node], str, bool], str]]] = {
    "op": op_label,
    "glue": _glue_label,
    "stop": _stop_label,
}


def _closed_label(folded: Folded, paths: Sequence[str], cluster: str) -> str:
    label = module_label(folded, paths[0], cluster)
    if len(paths) == 1:
        return label
    return f"{label}-{paths[-1].rpartition('.')[2]} ({len(paths)} that differ)"


def _details(scene: Scene, node: Node, kind: str) -> tuple[str, ...]:
    """Lines of a box on a story: a promotion as a sum, the source line, the reason of a stored dtype."""
    flow = scene.flow
    sum_ = ""
    if kind == "op" and mixture(flow, node.id)[1] and not flow.refused(node.id):
        floats = dict.fromkeys(short(d) for d in flow.reads(node.id) if is_float(d))
        sum_ = f"{' + '.join(floats)} = {short(flow.dtype(Ref(node.id)))}"
    origin = scene.interest.origins.get(node.id)
    place = node.place if node.place != NOWHERE or not origin else Place(origin.file, origin.line)
    reason = (node.reason.text or (origin.reason.text if origin else "")).partition(";")[0]
    line = f"{place.file.rpartition('/')[2]}:{place.line}" if place.file else ""
    return tuple(text for text in (sum_, line, reason) if text)


def _tooltip(flow: Reading, nodes: Sequence[Node]) -> str:
    node = nodes[-1]
    lines = [node.name or node.id, node.module and f"in {node.module}"]
    lines += [", ".join(described(flow, node, i, spec) for i, spec in enumerate(node.outputs)), str(node.place)]
    lines += [
        node.reason.text,
        flow.refused(node.id),
        f"{len(nodes)} in all, the last is shown" if len(nodes) > 1 else "",
    ]
    return "\n".join(line for line in lines if line)


def _output(flow: Reading) -> Box:
    refs = flow.graph.outputs
    dtypes = dict.fromkeys(short(flow.dtype(ref)) for ref in refs)
    label = f"output ({len(refs)})" if len(refs) > 1 else "output"
    tooltip = "\n".join(described(flow, flow.graph[r.id], r.index, flow.graph.spec(r)) for r in refs[:8])
    return Box("output:", f"{label}: {', '.join(dtypes)}", "output", tooltip, dtype=flow.dtype(refs[0]))
