"""Which expression of a source line is the odd operand of a call, and the cast that mends it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from analyzer.fixes.search import to_cast
from analyzer.fixes.source_file import METHODS, Code, Insertion, Mixing, arguments, operands, pure, targets
from analyzer.fixes.writes import written
from analyzer.ir.blame import handed_on, is_told
from analyzer.ir.dtypes import keeping, kind, width
from analyzer.ir.flow import Flow
from analyzer.ir.graph import CALLED, CAST, CHECK, Node, Ref, above

_OPERATORS: Final[dict[type[ast.operator], tuple[str, ...]]] = {
    ast.Add: ("add",), ast.Sub: ("sub", "rsub"), ast.Mult: ("mul",), ast.Div: ("div",),
    ast.MatMult: ("matmul", "mm", "bmm", "addmm", "linear"),
}  # fmt: skip
"""An operator in the source -> the names of the operations that it becomes."""
_ORDER: Final = {"addmm": (1, 2, 0), "baddbmm": (1, 2, 0)}
"""Operations that take the bias first -> the operand that each expression of the call `linear` is."""


def at_call(
    code: Code, line: int, flow: Flow, nodes: Sequence[Node], wanted: str, *, back: bool | None = None
) -> tuple[Insertion, ...]:
    """The cast of what is odd in the call at a line that the nodes come from; none where that is not plain.

    The nodes are refused calls, or mix dtypes themselves; they may run deep below the line. With `back`, the result is
    cast to the dtype that the odd operands have; none where they have several, or where it has several results. Where
    `back` is given, arguments do not follow the dtype of the module that they are given to.
    """
    found = _open_call(code, line, flow, nodes, wanted)
    if found is None:
        return ()
    one, path = found
    if back is not None and path and _own_dtype(flow, nodes, wanted, path):
        return ()
    odd, dtype = _odd(code, line, flow, nodes, wanted, one, path)
    dtype = written_dtype(code, wanted) if not dtype or f"torch.{wanted}" in METHODS else dtype
    if not odd or not dtype or any(expr in targets(one, code) for expr in odd):
        return ()
    casts = tuple(insertion for expr in odd for insertion in code.cast(expr, dtype))
    return _and_back(code, flow, nodes, wanted, one, odd, casts) if back else casts


def _open_call(code: Code, line: int, flow: Flow, nodes: Sequence[Node], wanted: str) -> Any:
    """The call at a line, unless what is odd in it cannot be cast: a copy would be written into."""
    refs = [(node, ref) for node in nodes for ref in to_cast(flow, node.id, wanted)]
    lost = any(ref in written(node) for node, ref in refs)
    return _call_at(code, line, nodes[0]) if refs and not lost else None


def _and_back(
    code: Code, flow: Flow, nodes: Sequence[Node], wanted: str, one: Mixing, odd: Sequence[ast.expr],
    casts: tuple[Insertion, ...],
) -> tuple[Insertion, ...]:  # fmt: skip
    """The casts of operands, and that of the result; none where the result is to stay as it is."""
    was = {flow.dtype(ref) for node in nodes for ref in to_cast(flow, node.id, wanted)}
    mixed = any(flow.dtype(ref) == wanted for node in nodes for ref in node.operands())
    again = _dtype_back(code, one, odd, was, wanted, mixed)
    return (*casts, *code.cast(one, again)) if again and isinstance(one, ast.expr) else ()


def _dtype_back(
    code: Code, one: Mixing, odd: Sequence[ast.expr], was: Collection[str], wanted: str, mixed: bool
) -> str:
    """The source of the dtype that a result is cast back to; "" if it is not what the code around it works in.

    That is no dtype of a stored tensor, none that nothing is computed in, and none that was too wide.
    """
    stored = any(isinstance(expr, ast.Attribute) for expr in odd)
    if stored or len(was) != 1 or not code.gives_one(one) or any(width(dtype) < 2 for dtype in was):
        return ""
    return "" if mixed and width(*was) > width(wanted) else _dtype_of(odd) or written_dtype(code, *was)


def _odd(code: Code, line: int, flow: Flow, nodes: Sequence[Node], wanted: str, one: Any, path: Any) -> tuple[Any, Any]:
    """What is odd in a call, and the dtype to write for it."""
    exprs = arguments(one) if path and isinstance(one, ast.Call) else operands(one, code)
    if path:
        return _odd_argument(code, line, flow, nodes, wanted, one, path, exprs)
    if isinstance(one, ast.Assign):  # what is written into has its dtype, and cannot be cast there
        return exprs[1:], _dtype_of(exprs[:1])
    return _odd_expression(code, line, flow, nodes, wanted, exprs)


def called(code: Code, line: int, node: Node) -> Mixing | None:
    """The only call at a line that a node can come from."""
    found = _call_at(code, line, node)
    return found[0] if found else None


def _call_at(code: Code, line: int, node: Node) -> Any:
    """The only call at a line that a node can come from, and the way from it to the node; None if there are others."""
    found = list(_module_calls(code, line, node))
    if not found and (code.name, line) == (node.place.file, node.place.line):
        found = list(_calls(code, line, node))
    if not found and node.op == CHECK:
        found = list(_checked(code, line, node))
    return found[0] if len(found) == 1 else None


def _checked(code: Code, line: int, node: Node) -> Iterator[tuple[Mixing, str]]:
    """The call at a line of the function in which code raised for a dtype, where that is in the same file."""
    name = getattr(code.function(node.place.line), "name", "") if code.name == node.place.file else ""
    for one in code.at(line):
        if isinstance(one, ast.Call) and name and _last(one.func) == name:
            yield one, ""


def _odd_argument(
    code: Code, line: int, flow: Flow, nodes: Sequence[Node], wanted: str, one: Mixing, path: str,
    exprs: Sequence[ast.expr],
) -> tuple[Sequence[ast.expr], str]:  # fmt: skip
    """The odd arguments of a module that is called, and the source of the dtype that they are to have."""
    only = exprs if len(exprs) == 1 else []
    if own := _own_dtype(flow, nodes, wanted, path):
        return only, _held_dtype(one, path, flow, own)
    odd, _ = _by_ends(code, line, flow, nodes, wanted, exprs, lambda node: _under(node, path))
    if whole := _complex(flow, nodes, wanted, path):
        kept = keeping(whole, wanted)
        return odd if kept and written_dtype(code, kept) else [], f"torch.{kept}"
    return odd or only, _held_dtype(one, path, flow, wanted)


def _complex(flow: Flow, nodes: Sequence[Node], wanted: str, path: str) -> str:
    """The dtype of complex numbers that a called module is given, where what is odd in it are their parts."""
    ends = _ends(flow, (ref for node in nodes for ref in to_cast(flow, node.id, wanted)), lambda n: _under(n, path))
    return next((dtype for end in ends for dtype in flow.dtypes[end.id] if kind(dtype) == "complex"), "")


def _odd_expression(
    code: Code, line: int, flow: Flow, nodes: Sequence[Node], wanted: str, exprs: Sequence[ast.expr]
) -> tuple[Sequence[ast.expr], str]:
    """The odd operands of an operator or a function, and the source of the dtype that they are to have."""
    if nodes[0].op == CHECK:
        return _looked_at(code, line, flow, nodes[0], wanted, exprs), ""
    odd, fine = _by_position(flow, nodes[0], wanted, exprs)
    if not odd:
        odd, fine = _by_ends(code, line, flow, nodes, wanted, exprs, lambda node: node.place == nodes[0].place)
    return odd, _dtype_of(fine)


def _looked_at(code: Code, line: int, flow: Flow, node: Node, wanted: str, exprs: Sequence[ast.expr]) -> list[ast.expr]:
    """The arguments of a function that raised for a dtype which have the dtype of what it looked at."""
    has = {flow.dtype(ref) for ref in to_cast(flow, node.id, wanted)}
    made = [one for one in flow.graph.ops() if has & {*flow.dtypes[one.id]}]
    named = [expr for expr in exprs if isinstance(expr, ast.Name) and code.assigned(expr.id, line)]
    return [expr for expr in named if any(_gives(code, line, expr, one) for one in made)]


def _dtype_of(exprs: Iterable[ast.expr]) -> str:
    """The source of the dtype of the first that may be evaluated twice; "" if none may."""
    return next((f"{ast.unparse(expr)}.dtype" for expr in exprs if pure(expr)), "")


def at_value(code: Code, node: Node, wanted: str) -> tuple[Insertion, ...]:
    """The cast of a value where it is made, by the one call of that name at the line."""
    calls = [one for one in code.at(node.place.line) if isinstance(one, ast.Call) and _last(one.func) == node.call]
    dtype = written_dtype(code, wanted)
    return code.cast(calls[0], dtype) if len(calls) == 1 and dtype else ()


def written_dtype(code: Code, wanted: str) -> str:
    """The dtype as the file can write it; "" if it cannot."""
    dtype = f"torch.{wanted}"
    return dtype if dtype in METHODS or code.imports("torch") else ""


def makes(flow: Flow, node: Node) -> bool:
    """Whether an operation gives its result a dtype of its own: a cast, or a tensor made anew."""
    if node.op == CAST and is_told(node):
        return not node.inserted
    return not handed_on(flow.graph, Ref(node.id), flow.dtype)


def _calls(code: Code, line: int, node: Node) -> Iterator[tuple[Mixing, str]]:
    """Operators and functions at the line that the operation may come from."""
    called = node.call.strip("_")  # `F.grouped_mm` calls `torch._grouped_mm`, and `linalg_inv` is `torch.linalg.inv`
    names = {[*node.op.split("."), ""][1].rstrip("_"), called}
    for one in code.at(line):
        if isinstance(one, ast.Call):
            if called and called in (_last(one.func).strip("_"), "_".join(ast.unparse(one.func).split(".")[-2:])):
                yield one, ""
        elif isinstance(one, (ast.Assign, ast.Subscript)):
            if node.call == ("__setitem__" if isinstance(one, ast.Assign) else "__getitem__"):
                yield one, ""
        elif names & set(_OPERATORS.get(type(one.op), ())):
            yield one, ""


def _module_calls(code: Code, line: int, node: Node) -> Iterator[tuple[Mixing, str]]:
    """`self.fc(x)`: calls at the line of a module that the operation is in, with the module's path."""
    for one in code.at(line):
        if not isinstance(one, ast.Call) or not isinstance(one.func, ast.Attribute) or not pure(one.func):
            continue
        paths = [path for path in above(node.module) if path.rpartition(".")[2] == one.func.attr]
        if paths and not code.imports(ast.unparse(one.func).partition(".")[0]):
            yield one, paths[0]


def _by_position(
    flow: Flow, node: Node, wanted: str, exprs: Sequence[ast.expr]
) -> tuple[list[ast.expr], list[ast.expr]]:
    """Odd and fine expressions, where there are as many as the operation has operands."""
    refs = node.operands()
    if len(refs) != len(exprs):
        return [], []
    order = _ORDER.get([*node.op.split("."), ""][1], ()) if not node.op.startswith(CALLED) else ()
    if order and (node.call != "linear" or len(order) != len(refs)):
        return [], []
    odd = to_cast(flow, node.id, wanted)
    pairs = list(zip(exprs, (refs[i] for i in order or range(len(refs))), strict=True))
    return (
        [expr for expr, ref in pairs if ref in odd],
        [expr for expr, ref in pairs if flow.dtype(ref) == wanted],
    )


def _by_ends(
    code: Code, line: int, flow: Flow, nodes: Sequence[Node], wanted: str, exprs: Sequence[ast.expr],
    inside: Callable[[Node], bool],
) -> tuple[list[ast.expr], list[ast.expr]]:  # fmt: skip
    """Odd and fine expressions, told by where the values come from that go into the call."""
    odd_ends = _ends(flow, (ref for node in nodes for ref in to_cast(flow, node.id, wanted)), inside)
    fine_refs = (ref for node in nodes for ref in node.operands() if flow.dtype(ref) == wanted)
    fine_ends = _ends(flow, fine_refs, inside)
    odd = [expr for expr in exprs if any(_gives(code, line, expr, end) for end in odd_ends)]
    fine = [expr for expr in exprs if any(_gives(code, line, expr, end) for end in fine_ends)]
    if any(expr in fine for expr in odd):
        return [], []
    return odd, fine


def _ends(flow: Flow, starts: Iterable[Ref], inside: Callable[[Node], bool]) -> list[Node]:
    """The nodes outside a call that operands inside it have their dtype from."""
    queue, seen, found = list(starts), set(), {}
    while queue:
        ref = queue.pop(0)
        node = flow.graph[ref.id]
        if ref in seen:
            continue
        seen.add(ref)
        if node.is_op and inside(node):
            queue += handed_on(flow.graph, ref, flow.dtype)
        else:
            found[node.id] = node
    return list(found.values())


def _gives(code: Code, line: int, expr: ast.expr, end: Node) -> bool:
    """Whether an expression of a line may be what a node gave."""
    if isinstance(expr, ast.Attribute):
        said = ast.unparse(expr).partition(".")[2]
        return not end.is_op and pure(expr) and (end.name == said or end.name.endswith(f".{said}"))
    if not isinstance(expr, ast.Name):
        return _is_at(end, code, expr.lineno, expr.end_lineno or 0)
    made = code.assigned(expr.id, line)
    for one in made:
        if _is_at(end, code, one.lineno, one.end_lineno or end.place.line):
            return True
        if one.value is not None and _value_gives(code, line, one.value, expr, end):
            return True
    return not made and _is_handed_in(code, line, expr.id, end)


def _is_at(end: Node, code: Code, start: int, stop: int) -> bool:
    """Whether an operation was called at one of some lines."""
    return end.is_op and end.place.file == code.name and start <= end.place.line <= stop


def _is_handed_in(code: Code, line: int, name: str, end: Node) -> bool:
    """Whether a name is an argument of the function around a line, and what the node gave was made outside of it."""
    function = code.function(line)
    given = getattr(function, "args", None)
    names = {arg.arg for arg in (*given.args, *given.kwonlyargs)} if given else set()
    start, stop = getattr(function, "lineno", 0), getattr(function, "end_lineno", 0)
    if end.op == "input" and end.name.partition(".")[0] in names:
        return name == end.name.partition(".")[0]
    return name in names and not _is_at(end, code, start, stop)


def _value_gives(code: Code, line: int, value: ast.expr, expr: ast.expr, end: Node) -> bool:
    if isinstance(value, ast.Attribute):
        return _gives(code, line, value, end)
    called = {
        one.func.attr for one in ast.walk(value) if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)
    }
    return end.is_op and bool(called & set(end.module.split(".")))


def _own_dtype(flow: Flow, nodes: Sequence[Node], wanted: str, path: str) -> str:
    """The dtype of a called module whose own tensors are what is odd, so that its arguments are to follow it."""
    ends = _ends(flow, (ref for node in nodes for ref in to_cast(flow, node.id, wanted)), lambda n: _under(n, path))
    dtypes = {flow.dtypes[end.id][0] for end in ends}
    inside = all(not end.is_op and end.name.startswith(f"{path}.") for end in ends)
    return dtypes.pop() if inside and len(dtypes) == 1 else ""


def _held_dtype(one: Mixing, path: str, flow: Flow, wanted: str) -> str:
    """`self.fc.weight.dtype`: the nearest parameter of the called module that has the wanted dtype."""
    names = [
        node.name.removeprefix(f"{path}.") for node in flow.graph.stored()
        if node.op == "parameter" and node.name.startswith(f"{path}.") and flow.dtypes[node.id][0] == wanted
    ]  # fmt: skip
    said = [name for name in names if all(part.isidentifier() for part in name.split("."))]
    nearest = min(said, key=lambda name: (name.count("."), "bias" in name), default="")
    return f"{ast.unparse(one.func)}.{nearest}.dtype" if nearest and isinstance(one, ast.Call) else ""


def _under(node: Node, path: str) -> bool:
    return node.module == path or node.module.startswith(f"{path}.")


def _last(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
