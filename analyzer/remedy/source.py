"""Proposals that write one cast into the model's own code, where the line can be rewritten faithfully."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from analyzer.dtypes import is_float
from analyzer.findings import Finding
from analyzer.graph import Node, Place
from analyzer.propagate import Flow
from analyzer.remedy.proposal import Edit, Proposal
from analyzer.remedy.search import fewest, odd_refs

_OPERATORS: Final[dict[type[ast.operator], tuple[str, ...]]] = {
    ast.Add: ("add",), ast.Sub: ("sub",), ast.Mult: ("mul",), ast.Div: ("div",),
    ast.MatMult: ("matmul", "mm", "bmm", "addmm", "linear"),
}  # fmt: skip
"""An operator in the source -> the names of the operations that it becomes."""
_CLOSED: Final = (ast.Name, ast.Attribute, ast.Call, ast.Subscript)
"""Expressions that take `.to(...)` without brackets around them."""


def sources(flow: Flow, findings: Sequence[Finding], folder: Path) -> Iterator[Proposal]:
    """A cast at each line of the folder that mixes the dtypes of an error, or makes the refused call."""
    for node, wanted in dict.fromkeys(_mixing(flow, findings)):
        text = _text(folder, node.place.file)
        after = _rewritten(text, node, flow, wanted) if text else ""
        if after:
            what = f"cast at {node.place} in the source"
            yield Proposal("source", what, edit=Edit(node.place.file, node.place.line, text, after))


def _mixing(flow: Flow, findings: Sequence[Finding]) -> Iterator[tuple[Node, str]]:
    places = {key for key in fewest(flow, findings) if isinstance(key, Place)}
    seen: set[Place] = set()
    for finding in findings:
        if finding.severity != "error" or finding.tensors:
            continue
        for node_id in finding.nodes:
            refused = flow.graph[node_id]
            if refused.repair and refused.place not in seen:
                seen.add(refused.place)
                yield refused, refused.repair
            for node in _behind(flow, node_id):
                reads = {d for d in flow.reads(node.id) if is_float(d)}
                if node.place not in seen and (len(reads) > 1 or node.place in places):
                    seen.add(node.place)
                    yield node, refused.repair


def _behind(flow: Flow, node_id: str) -> Iterator[Node]:
    """The operations that handed an odd dtype on to a refused call, nearest first."""
    queue, seen = list(odd_refs(flow, node_id)), set()
    while queue:
        ref = queue.pop(0)
        node = flow.graph[ref.id]
        if not node.is_op or node.id in seen:
            continue
        seen.add(node.id)
        yield node
        queue += [r for r in node.operands() if flow.dtype(r) == flow.dtype(ref)]


def _text(folder: Path, name: str) -> str:
    file = folder / name
    inside = file.resolve().is_relative_to(folder.resolve())
    if not name or Path(name).is_absolute() or not inside or file.suffix != ".py" or not file.is_file():
        return ""
    with file.open(encoding="utf-8", newline="") as stream:  # the file's own ends of lines are kept
        return stream.read()


def _rewritten(text: str, node: Node, flow: Flow, wanted: str) -> str:
    """The file with one operand cast, or "" where the line does not say plainly which one that is."""
    tree = ast.parse(text)
    frozen = {id(inner) for outer in ast.walk(tree) if isinstance(outer, ast.JoinedStr) for inner in ast.walk(outer)}
    line = node.place.line
    here = [
        one for one in ast.walk(tree)
        if isinstance(one, (ast.BinOp, ast.Call)) and id(one) not in frozen
        and one.lineno <= line <= (one.end_lineno or one.lineno)
    ]  # fmt: skip
    found = [*_binary(here, node, flow, wanted), *_called(here, node)]
    if len(found) != 1:
        return ""
    odd, dtype_of = found[0]
    return _with_cast(text, odd, dtype_of)


def _binary(here: Sequence[ast.AST], node: Node, flow: Flow, wanted: str) -> Iterator[tuple[ast.expr, str]]:
    name = [*node.op.split("."), ""][1].rstrip("_")
    reads = flow.reads(node.id)
    for one in here:
        if not isinstance(one, ast.BinOp) or len(reads) != 2 or len(set(reads)) != 2:
            continue
        if name not in _OPERATORS.get(type(one.op), ()) or wanted not in reads:
            continue
        odd, other = (one.left, one.right) if reads[1] == wanted else (one.right, one.left)
        if _pure(other):
            yield odd, f"{ast.unparse(other)}.dtype"


def _called(here: Sequence[ast.AST], node: Node) -> Iterator[tuple[ast.expr, str]]:
    """`self.fc(x)`: the call of a module that the node is in, with one argument and a weight."""
    leaf = node.module.rpartition(".")[2]
    if not node.refused or not leaf.isidentifier() or node.call not in ("linear", "conv1d", "conv2d", "conv3d"):
        return
    for one in here:
        if not isinstance(one, ast.Call) or not isinstance(one.func, ast.Attribute) or one.func.attr != leaf:
            continue
        if _pure(one.func) and len(one.args) == 1 and not one.keywords and not isinstance(one.args[0], ast.Starred):
            yield one.args[0], f"{ast.unparse(one.func)}.weight.dtype"


def _pure(expression: ast.expr) -> bool:
    """Whether it may be read twice: a name, or attributes of one."""
    while isinstance(expression, ast.Attribute):
        expression = expression.value
    return isinstance(expression, ast.Name)


def _with_cast(text: str, odd: ast.expr, dtype: str) -> str:
    lines = text.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: odd.lineno - 1])) + odd.col_offset
    end = sum(map(len, lines[: (odd.end_lineno or odd.lineno) - 1])) + (odd.end_col_offset or 0)
    raw = text.encode()
    said = raw[start:end]
    closed = said if isinstance(odd, _CLOSED) else b"(" + said + b")"
    after = (raw[:start] + closed + f".to({dtype})".encode() + raw[end:]).decode()
    try:
        ast.parse(after)
    except SyntaxError:
        return ""
    return after
