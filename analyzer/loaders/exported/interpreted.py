"""Keeps torch from writing the graphs of a saved program into Python: they are run node by node instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from analyzer.capture.patching import patched


@contextmanager
def interpreted(run: Callable[[torch.fx.GraphModule, tuple[Any, ...]], object]) -> Iterator[None]:
    """While this lasts, the forward of a graph that is made is `run(graph, arguments)`, and no source is compiled.

    The source that torch would make of a graph holds names that the file gives (torch.fx.graph.CodeGen).
    """

    def forward(self: torch.fx.GraphModule, *args: Any) -> object:
        return run(self, args)

    def put(_: str, made: dict[str, Any], *__: object, **___: object) -> None:
        made["forward"] = forward

    with patched(
        torch.fx.graph_module, "_exec_with_source", put, what="torch.fx.graph_module._exec_with_source",
        why="A saved program is run node by node; nothing that it names becomes Python.",
    ):  # fmt: skip
        yield
