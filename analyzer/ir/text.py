"""The text form of a graph, one node a line: printed for people, parsed for examples and tests."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from analyzer.errors import AnalyzerError
from analyzer.ir.dtypes import DTYPES, parse_dtype, short
from analyzer.ir.graph import CALLED, NOWHERE, STOPPED, UPDATED, Arg, DtypeArg, Left, ModelGraph, Node, Place, Ref, Spec
from analyzer.ir.literal_types import INSERTERS, KEPT_CASTS, PHASES, STORED, one_of
from analyzer.ir.reason import Reason

T = TypeVar("T")
_SHORT: Final = {row.short: row.name for row in DTYPES.values()}
_WORDS: Final = {"True": True, "False": False, "None": None, "inf": float("inf"), "nan": float("nan")}
_BARE_ID: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_BARE_FIELD: Final = re.compile(r"[\w./<>+:,-]+", re.ASCII)
_PLACE: Final = re.compile(r"(.*):(\d+)", re.DOTALL)
_SIGNS: Final = ("@", "~", "#", "/", "=>", "?", "+", "<", "^", "*", "|", "$", "&", "!")
_NAMED: Final = (
    "at",
    "other",
    "place",
    "call",
    "repair",
    "reason",
    "inserted",
    "phase",
    "step",
    "odd",
    "kept",
    "uncovered",
    "bounds",
    "refused",
)
_FIELDS: Final = dict(zip(_SIGNS, _NAMED, strict=True))
"""Signs after the outputs; `!` is last and runs to the end of the line."""
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<number>-?\d+\.?\d*(?:e[+-]?\d+)?|-inf\b)|(?P<name>[A-Za-z_][\w.]*)|(?P<sign>=>|[^\s]))""",
    re.VERBOSE | re.ASCII,
)


def print_graph(graph: ModelGraph) -> str:
    """The graph as text: `y = addmm(b, x, t) : bf16[2,4]  @ head  # file.py:12`; `return` lists the outputs."""
    lines = [_line(node) for node in graph]
    if graph.outputs:
        lines.append("return " + ", ".join(_arg(ref) for ref in graph.outputs))
    for one in graph.left:
        place = f"  # {one.place}" if one.place != NOWHERE else ""
        verb = "loading" if one.by_loading else "running"
        lines.append(f"left {verb} {one.setting!r} {one.before!r} {one.after!r}{place}")
    return "".join(line + "\n" for line in lines)


def parse_graph(text: str) -> ModelGraph:
    """The graph that a text stands for; raises AnalyzerError with the line number if it stands for none."""
    graph = ModelGraph()
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            _Line(line).read_into(graph)
        except (ValueError, KeyError, IndexError, SyntaxError, AnalyzerError) as error:
            raise AnalyzerError(f"line {number} of the graph: {error}", hint="as in `y = relu(x) : f32[2]`") from error
    return graph


def op_name(op: str) -> str:
    """An operation as people write it: `addmm` for aten.addmm.default, `add.Tensor` for aten.add.Tensor."""
    name = op.removeprefix(CALLED).removeprefix("aten.").removesuffix(".default")
    return name if op.startswith(CALLED) or _full_op(name) == op else op


def _full_op(name: str) -> str:
    if name in (UPDATED, STOPPED) or name.count(".") > 1:
        return name
    return f"aten.{name}" if "." in name else f"aten.{name}.default"


def _line(node: Node) -> str:
    operands = ", ".join([*map(_arg, node.args), *(f"{_key(key)}={_arg(value)}" for key, value in node.kwargs)])
    made = f"{_op(node.op)}({operands})" if node.is_op else node.op
    outputs = [_spec(spec) for spec in node.outputs]
    line = f"{_id(node.id)} = {made} : " + (outputs[0] if len(outputs) == 1 else f"({', '.join(outputs)})")
    at, other = (node.module, node.name) if node.is_op else (node.name, node.module)
    place = f"{node.place.file}:{node.place.line}" if node.place != NOWHERE else ""
    odd = ",".join(map(str, node.odd))
    bounds = ",".join(f"{bound:.6g}" for bound in node.bounds or ())
    values = (
        at, other, place, node.call, node.repair, node.reason.text, node.inserted, node.phase, node.step, odd,
        node.kept_cast, node.uncovered, bounds,
    )  # fmt: skip
    for sign, value in zip(_FIELDS, values, strict=False):
        if value:
            line += f"  {sign} {value if _BARE_FIELD.fullmatch(value) else repr(value)}"
    if node.refused:
        plain = node.refused.isprintable() and node.refused == node.refused.strip() and node.refused[0] not in "'\""
        line += f"  ! {node.refused if plain else repr(node.refused)}"
    return line


def _key(name: str) -> str:
    return name if _BARE_ID.fullmatch(name) else f"%{name!r}"


def _id(name: str) -> str:
    bare = _BARE_ID.fullmatch(name) and name not in _WORDS and name not in _SHORT and name != "return"
    return name if bare else f"%{name!r}"


def _op(op: str) -> str:
    name = op_name(op)
    return name if _BARE_ID.fullmatch(name) and _full_op(name) == op else f"%{op!r}"


def _arg(arg: Arg) -> str:
    if isinstance(arg, Ref):
        return _id(arg.id) + (f"#{arg.index}" if arg.index else "")
    if isinstance(arg, DtypeArg):
        return _dtype(arg.name)
    if isinstance(arg, tuple):
        return f"[{', '.join(map(_arg, arg))}]"
    return repr(arg)


def _dtype(name: str) -> str:
    return short(name) if name in DTYPES else f"&{name!r}"


def _spec(spec: Spec) -> str:
    return f"{_dtype(spec.dtype)}[{','.join(map(str, spec.shape))}]"


def _place(text: str) -> Place:
    found = _PLACE.fullmatch(text)
    return Place(found[1], int(found[2])) if found else NOWHERE


def _positions(text: str) -> tuple[int, ...]:
    return tuple([int(part) for part in text.split(",") if part])


def _bounds(text: str) -> tuple[float, float] | None:
    least, _, greatest = text.partition(",")
    return (float(least), float(greatest)) if greatest else None


class _Line:
    """Reads one line from left to right."""

    def __init__(self, line: str) -> None:
        self.line, self.at = line, 0

    def read_into(self, graph: ModelGraph) -> None:
        kind, word = self._next()
        if self._ends(word, graph):
            return
        node_id = self._literal() if word == "%" else word
        if word != "%" and kind != "name":
            raise ValueError(f"'{word}' is no name")
        self._expect("=")
        kind, word = self._next()
        op = self._literal() if word == "%" else word
        op = "parameter" if op == "param" else op
        both: list[tuple[str, Arg]] = []
        if self._took("("):
            op = op if word == "%" else _full_op(op)
            both = self._until(")", self._argument)
        elif op not in STORED:
            raise ValueError(f"'{op}' needs its operands in parentheses")
        self._expect(":")
        args = tuple(value for key, value in both if not key)
        kwargs = tuple((key, value) for key, value in both if key)
        node = self._node(node_id, op, args, kwargs, self._specs())
        for ref in node.operands():
            _check(graph, ref)
        graph.add(node)

    def _ends(self, word: str, graph: ModelGraph) -> bool:
        """Whether it is a line after the nodes, which is read then: `return x, y` or `left running ...`."""
        if word == "return" and self._peek() != "=":
            graph.outputs.extend(self._refs(graph))
            return True
        if word == "left" and self._peek() in ("loading", "running"):
            graph.left.append(self._left())
            return True
        return False

    def _left(self) -> Left:
        by_loading = self._next()[1] == "loading"
        setting, before, after = self._literal(), self._literal(), self._literal()
        fields = {_FIELDS[sign]: value for sign, value in self._fields()}
        return Left(setting, before, after, _place(fields.get("place", "")), by_loading)

    def _node(
        self, node_id: str, op: str, args: tuple[Arg, ...], kwargs: tuple[tuple[str, Arg], ...], outs: tuple[Spec, ...]
    ) -> Node:
        fields = {_FIELDS[sign]: value for sign, value in self._fields()}
        at, other = fields.get("at", ""), fields.get("other", "")
        name, module = (at, other) if op in STORED else (other, at)
        where = _place(fields.get("place", ""))
        return Node(
            node_id, op, args, kwargs, outs, name, module, fields.get("call", ""), where, fields.get("refused", ""),
            fields.get("repair", ""), Reason(fields.get("reason", "")), one_of(INSERTERS, fields.get("inserted", "")),
            phase=one_of(PHASES, fields.get("phase", "")), step=fields.get("step", ""),
            odd=_positions(fields.get("odd", "")), kept_cast=one_of(KEPT_CASTS, fields.get("kept", "")),
            uncovered=fields.get("uncovered", ""), bounds=_bounds(fields.get("bounds", "")),
        )  # fmt: skip

    def _fields(self) -> Iterator[tuple[str, str]]:
        while self.line[self.at :].strip():
            sign = self._next()[1]
            if sign not in _FIELDS:
                raise ValueError(f"'{sign}' not understood")
            rest = self.line[self.at :].lstrip()
            if rest[:1] in ("'", '"'):
                yield sign, self._literal()
            elif sign == "!":
                self.at = len(self.line)
                yield sign, rest.rstrip()
            else:
                self.at = len(self.line) - len(rest)
                value = rest.split(None, 1)[0] if rest else ""
                self.at += len(value)
                yield sign, value

    def _argument(self) -> tuple[str, Arg]:
        start, (kind, word) = self.at, self._next()
        kind, word = ("name", self._literal()) if word == "%" else (kind, word)
        named = kind == "name" and self._took("=")
        self.at = self.at if named else start
        return word if named else "", self._arg()

    def _until(self, close: str, read: Callable[[], T]) -> list[T]:
        items: list[T] = []
        while self._peek() != close:
            items.append(read())
            if self._peek() != close:
                self._expect(",")
        self._expect(close)
        return items

    def _arg(self) -> Arg:
        kind, word = self._next()
        if kind == "string":
            return str(literal_eval(word))
        if kind == "number":
            return int(word) if re.fullmatch(r"-?\d+", word) else float(word)
        if word == "[":
            return tuple(self._until("]", self._arg))
        if word == "&":
            return DtypeArg(self._literal())
        if word in _WORDS:
            return _WORDS[word]
        if word in _SHORT:
            return DtypeArg(_SHORT[word])
        if word != "%" and kind != "name":
            raise ValueError(f"'{word}' is no argument")
        name = self._literal() if word == "%" else word
        index = re.compile(r"#(\d+)").match(self.line, self.at)
        self.at = index.end() if index else self.at
        return Ref(name, int(index[1]) if index else 0)

    def _refs(self, graph: ModelGraph) -> Iterator[Ref]:
        while self._peek():
            ref = self._arg()
            if not isinstance(ref, Ref):
                raise ValueError(f"'{ref}' is no tensor")
            _check(graph, ref)
            yield ref
            if self._peek():
                self._expect(",")

    def _specs(self) -> tuple[Spec, ...]:
        return tuple(self._until(")", self._spec)) if self._took("(") else (self._spec(),)

    def _spec(self) -> Spec:
        word = self._next()[1]
        dtype = self._literal() if word == "&" else parse_dtype(word)
        return Spec(dtype, tuple(self._until("]", lambda: int(self._next()[1]))) if self._took("[") else ())

    def _literal(self) -> str:
        return str(literal_eval(self._next()[1]))

    def _peek(self) -> str:
        match = _TOKEN.match(self.line, self.at)
        return match[match.lastgroup or 0] if match else ""

    def _next(self) -> tuple[str, str]:
        match = _TOKEN.match(self.line, self.at)
        if not match or not match.lastgroup:
            raise ValueError("ends too early")
        self.at = match.end()
        return match.lastgroup, match[match.lastgroup]

    def _took(self, sign: str) -> bool:
        return self._peek() == sign and bool(self._next())

    def _expect(self, sign: str) -> None:
        word = self._next()[1]
        if word != sign:
            raise ValueError(f"'{sign}' expected, '{word}' found")


def _check(graph: ModelGraph, ref: Ref) -> None:
    if ref.id not in graph.nodes:
        raise ValueError(f"'{ref.id}' is not defined above")
    if ref.index >= len(graph[ref.id].outputs):
        raise ValueError(f"'{ref.id}' has no output {ref.index}")
