"""What a view is made of: boxes in nested clusters, and links between boxes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from analyzer.ir.literal_types import Severity


@dataclass(frozen=True, slots=True)
class Box:
    """One box: a closed module, an operation, a run of small ones, or a stored tensor."""

    id: str
    label: str
    kind: str
    """module, op, glue, output, or a kind of stored tensor: parameter, buffer, input, constant.

    "stop" is where a run ended early, "missed" a module that it never entered.
    """
    tooltip: str = ""
    path: tuple[str, ...] = ()
    """Module paths of the clusters around it, outermost first; the model itself is not among them."""
    code: str = ""
    """Code of the worst finding inside, "" when there is none."""
    severity: Severity | Literal[""] = ""
    message: str = ""
    """The words of the finding whose story ends here; "" on other boxes."""
    dtype: str = ""
    count: int = 1
    """How many operations or tensors it stands for."""
    stub: bool = False
    """Whether it repeats a box that is drawn elsewhere, to save a long line."""
    details: tuple[str, ...] = ()
    """Lines below the label: what is promoted here, the source line, the reason of an origin."""
    findings: tuple[int, ...] = ()
    """Numbers (from 1, in the report's order) of the findings that are inside."""
    stories: tuple[int, ...] = ()
    """Numbers of the findings whose story passes here."""
    href: str = ""
    """Where its source line can be read."""
    mark: str = ""
    """How it differs from another report: "new", "was f32"."""


@dataclass(frozen=True, slots=True)
class Link:
    """Tensors that go from one box to another; on a mixed one the label is `f32 -> bf16`."""

    source: str
    target: str
    label: str
    mixed: bool = False
    tooltip: str = ""
    count: int = 1
    stories: tuple[int, ...] = ()
    """Numbers of the findings whose story goes this way."""
    mark: str = ""
    """As of a box."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An open module: its boxes, and the open modules inside."""

    id: str
    label: str
    boxes: tuple[Box, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    href: str = ""
    """Where more of it can be seen."""

    def all_boxes(self) -> Iterator[Box]:
        """The boxes here and in every cluster inside."""
        yield from self.boxes
        for cluster in self.clusters:
            yield from cluster.all_boxes()


@dataclass(frozen=True, slots=True)
class View:
    """A folded picture of a model; `root` is the model itself."""

    root: Cluster
    links: tuple[Link, ...]

    @property
    def boxes(self) -> tuple[Box, ...]:
        """Every box, cluster by cluster."""
        return tuple(self.root.all_boxes())


@dataclass(frozen=True, slots=True)
class Caption:
    """What stands over a picture: a title, and a few facts by name."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
