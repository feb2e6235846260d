"""Keys that name a finding across revisions: they hold no line number, no layer number and no name of a node."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from json import dumps
from typing import TYPE_CHECKING

from analyzer.ir.dtypes import is_float, width
from analyzer.ir.findings import Finding, Operand, Origin
from analyzer.ir.graph import in_any_layer

if TYPE_CHECKING:  # a report stands on torch; here it is only read
    from analyzer.ir.graph import ModelGraph
    from analyzer.report import Report


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """What makes a finding the same one in another revision.

    `module` and `origins` are the same for all layers of a stack; `source` is a hash of the line's text without
    white space and comment; `occurrence` tells apart what is alike in all of this, in the report's order.
    """

    code: str
    module: str
    call: str
    origins: tuple[str, ...]
    source: str
    occurrence: int = 0

    @property
    def key(self) -> str:
        """The identity in one word: `DT101-5b0c8d3f9a7e4c21`."""
        parts = [self.code, self.module, self.call, self.origins, self.source, self.occurrence]
        return f"{self.code}-{_digest(dumps(parts))}"


def identities(report: Report, path: Callable[[str], str] = str) -> Iterator[tuple[Finding, Identity]]:
    """The findings of one stage with their identities, in the report's order; `path` renames modules and tensors."""
    seen: Counter[Identity] = Counter()
    for finding in report.findings:
        one = _identity(report.graph, finding, path)
        yield finding, replace(one, occurrence=seen[one])
        seen[one] += 1


def _identity(graph: ModelGraph, finding: Finding, path: Callable[[str], str]) -> Identity:
    call = " ".join(part for part in (finding.call or finding.op, finding.phase) if part)
    stored = {f"tensor {in_any_layer(path(finding.tensors[0]))}"} if finding.tensors else set()
    names = stored or {_origin(origin, path) for operand in _odd(graph, finding) for origin in operand.origins}
    module = in_any_layer(path(finding.module))
    return Identity(finding.code, module, call, tuple(sorted(names)), _line(finding.source))


def _odd(graph: ModelGraph, finding: Finding) -> list[Operand]:
    """The operands that do not have the dtype at home; none where all have one dtype.

    The others' origins are left out: an operation that is put in elsewhere would change them.
    """
    node = graph.nodes.get(finding.nodes[0]) if finding.nodes else None
    if node is not None and node.odd:
        return [operand for operand in finding.operands if operand.position in node.odd]
    floats = [operand for operand in finding.operands if is_float(operand.dtype)]
    if len({operand.dtype for operand in floats}) < 2:
        return []
    home = node.repair if node is not None else ""
    widest = max(width(operand.dtype) for operand in floats)
    return [o for o in floats if home and o.dtype != home] or [o for o in floats if width(o.dtype) == widest]


def _origin(origin: Origin, path: Callable[[str], str]) -> str:
    if origin.kind in ("parameter", "buffer", "input"):
        return f"{origin.kind} {in_any_layer(path(origin.name))}"
    return f"{origin.kind} {_line(origin.source)}".rstrip()


def _line(text: str) -> str:
    """A hash of a line's text; "" for none.

    >>> _line("x = y  +  1  # why") == _line("x = y + 1"), _line("")
    (True, '')
    """
    said = " ".join(re.sub(r"(^|\s)#.*", "", text).split())
    return _digest(said) if said else ""


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
