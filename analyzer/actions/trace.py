"""From a model to a report: read `examine` for the program."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

from analyzer import __version__, fixes, loaders, rules
from analyzer.actions.source_quotes import quote
from analyzer.capture import Loaded
from analyzer.capture.autocast.dispatch import home
from analyzer.capture.autocast.torch_autocast_state import present
from analyzer.errors import Interrupted
from analyzer.gc_paused import gc_paused
from analyzer.inputs.as_processed import told_as_processed
from analyzer.inputs.learning import learned
from analyzer.ir.flow import Flow
from analyzer.ir.plan import Plan
from analyzer.loaders.remote_code.environment import environment
from analyzer.loaders.request import ModelRequest, Progress, silent
from analyzer.propagate import propagate
from analyzer.report import Report, count_elements, take_census

_LOGGER = logging.getLogger("analyzer")
"""Of what a person sees only with --debug."""


def run_stages(
    request: ModelRequest, plans: Sequence[Plan], *, finished: Callable[[Report], None] | None = None
) -> Report:
    """Trace a model under the plan of each stage: the first one's report, the others inside it.

    Raises what `run_trace` raises. `finished` gets what there is after each stage but the last; a run that is told to
    end between two stages gives the first ones, and says that the others are missing.
    """
    done: list[Report] = []
    for number, plan in enumerate(plans, 1):
        try:
            done.append(run_trace(replace(request, plan=plan)))
        except Interrupted as error:
            if not done:
                raise
            return _without(_joined(done), plans[number - 1 :], error)
        if finished is not None and number < len(plans):
            finished(_without(_joined(done), plans[number:]))
    return _joined(done)


def _joined(stages: Sequence[Report]) -> Report:
    return replace(stages[0], others=tuple(stages[1:]))


def _without(report: Report, missing: Sequence[Plan], error: Interrupted | None = None) -> Report:
    """The report, which says that these stages were not traced."""
    stages = ", ".join(plan.stage for plan in missing)
    why = f"{error}; not traced: {stages}" if error else f"not traced: {stages}"
    return replace(report, coverage=replace(report.coverage, incomplete=report.coverage.incomplete or why))


def run_trace(request: ModelRequest) -> Report:
    """Trace a model under its plan.

    Raises AnalyzerError for whatever in the folder keeps the model from being built or run.
    """
    request.progress("building the model without weights")
    request = loaders.resolved(request)
    plan = request.plan
    with environment(plan.device, request.stubs, trust=request.trust_remote_code) as place:
        with present(home(plan)), gc_paused():
            loaded = loaders.load_request(request)
        with ExitStack() as stack:
            source = partial(fixes.on_disk, request.path, builder(request), plan, stack=stack)
            report = examine(replace(loaded, steps=request.steps), plan, request.progress, source)
        assumed = tuple(sorted({*report.coverage.assumptions, *place.assumptions()}))
    return replace(report, coverage=replace(report.coverage, assumptions=assumed))


def builder(request: ModelRequest) -> Callable[[Plan, Path | None, Path | None], Loaded]:
    """What loads a model again under another plan, from a patched copy, or with another inputs file."""

    def build(plan: Plan, path: Path | None, inputs: Path | None) -> Loaded:
        again = replace(
            request, plan=plan, path=path or request.path, inputs_file=inputs or request.inputs_file, progress=silent
        )
        with present(home(plan)):
            return replace(loaders.load_request(again), steps=request.steps)

    return build


def _in_memory(loaded: Loaded, _: Flow) -> fixes.Source:
    return fixes.InMemory(loaded)


@gc_paused()
def examine(
    loaded: Loaded, plan: Plan, tell: Progress, source: Callable[[Loaded, Flow], fixes.Source] = _in_memory
) -> Report:
    """The report on a loaded model: run it, carry dtypes along its graph, judge, prove fixes."""
    tell(f"running {loaded.name} without weights")
    loaded, captured = learned(loaded, plan)
    with suppress(Interrupted):
        captured = told_as_processed(loaded, captured, plan)
    if captured.stop is not None:
        _LOGGER.debug("the run stopped", exc_info=captured.stop.error)
    captured = captured.some()
    tell(f"carrying dtypes along {captured.coverage.ops} operations")
    flow = propagate(captured.graph, plan, inventory=loaded.inventory)
    findings = rules.check(flow)
    tell("proving fixes")
    if captured.stop is None or not captured.stop.interrupted:
        with suppress(Interrupted):  # findings without proofs are worth more than none
            findings = fixes.prove(loaded, plan, captured, flow, findings, source(loaded, flow))
    tensors = loaded.inventory.tensors
    return Report(
        versions=_versions(),
        path=loaded.path,
        class_name=loaded.name,
        parameters=count_elements(held.spec for held in tensors if held.kind == "parameter"),
        plan=plan,
        coverage=captured.coverage,
        census=take_census((held.kind, held.name, held.spec) for held in tensors),
        findings=tuple(quote(sorted(findings, key=lambda finding: finding.rank), loaded.path)),
        flow=flow,
        outputs=tuple(flow.dtype(ref) for ref in flow.graph.outputs),
    )


def _versions() -> dict[str, str]:
    return {"analyzer": __version__, **{name: metadata.version(name) for name in ("torch", "transformers")}}
