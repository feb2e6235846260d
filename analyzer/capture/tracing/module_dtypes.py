"""Which float dtype is at home where a call is made: what most matrices around it have."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from analyzer.capture.tensor import Abstract, computing, dtype_name
from analyzer.ir.graph import ModelGraph, Node, above


class ModuleDtypes:
    """Counts the dtypes of a model's matrices in every module, once, when they are first asked for."""

    def __init__(self, graph: ModelGraph) -> None:
        self._graph = graph
        self._matrices: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.computing: dict[str, str] = {}
        """Parameters that a training set-up computes with in another dtype -> that dtype."""
        self.parts: tuple[str, ...] = ()
        """Parts that are models of their own, in which nothing outside of them has a say."""

    def dtype(self, module: str, operands: Iterable[Abstract]) -> str:
        """The dtype at home in `module` among those of the operands; "" if its surroundings have no say.

        Every module that holds the call votes for the dtype of most of its matrices, those in the call left out.
        A part of the model whose matrices are all alike has no vote on a call that takes one of them: it may be odd
        as a whole, so that its surroundings must say.
        """
        if not self._matrices:
            self._count()
        floats = computing(t for t in operands if t.dtype.is_floating_point)
        held = [node for t in floats if t.held and (node := self._stored(t)) is not None]
        dtypes = {dtype_name(t.dtype) for t in floats}
        votes: Counter[str] = Counter()
        for path in self._voters(module):
            others = self._others(path, held)
            if others is None:
                continue
            for dtype in dtypes:
                votes[dtype] += others[dtype] / max(others.total(), 1)  # type: ignore[assignment]
        return _most(votes)

    def _voters(self, module: str) -> Iterator[str]:
        """The module and all that hold it, up to the model, or to a part that is a model of its own."""
        own = module.split(".")[0] in self.parts
        return (path for path in above(module) if path or not own)

    def _others(self, path: str, held: list[Node]) -> Counter[str] | None:
        """How many matrices a module has of each dtype, those in the call left out; None if it has no vote."""
        counts = self._matrices[path]
        inside = [self._dtype(node) for node in held if _inside(node.name, path)]
        alike = len(counts) < 2
        if inside and alike and path:
            return None
        others = Counter(counts)
        others.subtract([] if alike else inside)
        return others

    def _count(self) -> None:
        for node in self._graph.stored():
            if node.is_matrix:
                for path in above(node.name.rpartition(".")[0]):
                    self._matrices[path][self._dtype(node)] += 1

    def _dtype(self, node: Node) -> str:
        return self.computing.get(node.name, node.dtype)

    def _stored(self, tensor: Abstract) -> Node | None:
        """The matrix that a parameter, or a view of one, shows."""
        node = self._graph.nodes.get(tensor.ref.id)
        while node is not None and node.is_op:
            node = self._graph.nodes.get(node.operands()[0].id)
        return node if node is not None and node.is_matrix else None


def _most(votes: Counter[str]) -> str:
    best = votes.most_common(2)
    return best[0][0] if best and (len(best) == 1 or best[0][1] > best[1][1]) else ""


def _inside(name: str, path: str) -> bool:
    return not path or name.startswith(f"{path}.")
