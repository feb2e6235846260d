"""From a model to a report: read `examine` for the program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from analyzer import __version__, fixes, loaders, rules
from analyzer.actions.source_quotes import quote
from analyzer.capture import Loaded
from analyzer.capture.autocast.dispatch import home
from analyzer.capture.autocast.torch_autocast_state import present
from analyzer.errors import Interrupted
from analyzer.gc_paused import gc_paused
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from analyzer.ir.steps import Step
from analyzer.loaders.remote_code.environment import environment
from analyzer.propagate import propagate
from analyzer.report import Report, count_elements, take_census

Progress = Callable[[str], None]


def run_stages(
    path: Path, plans: Sequence[Plan], *, finished: Callable[[Report], None] | None = None, **options: Any
) -> Report:
    """Trace the model in a folder under the plan of each stage: the first one's report, the others inside it.

    Takes the options of `run_trace`, and raises what it raises. `finished` gets what there is after each stage but the
    last; a run that is told to end between two stages gives the first ones, and says that the others are missing.
    """
    done: list[Report] = []
    for number, plan in enumerate(plans, 1):
        try:
            done.append(run_trace(path, plan, **options))
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


def run_trace(
    path: Path,
    plan: Plan,
    *,
    trust_remote_code: bool = False,
    inputs_file: Path | None = None,
    stubs: Sequence[str] = (),
    steps: tuple[Step, ...] = (),
    progress: Progress | None = None,
) -> Report:
    """Trace the model in a folder under a plan; `progress` is told each step in a few words.

    `stubs` names packages that stand-ins replace.

    Raises AnalyzerError for whatever in the folder keeps the model from being built or run.
    """
    tell = progress or silent
    tell("building the model without weights")
    path, plan = loaders.settle(path, plan)
    with environment(plan.device, stubs) as place:
        with present(home(plan)), gc_paused():
            loaded = loaders.load(
                path, plan, trust_remote_code=trust_remote_code, inputs_file=inputs_file, progress=tell
            )
        report = examine(replace(loaded, steps=steps), plan, tell)
        assumed = tuple(sorted({*report.coverage.assumptions, *place.assumptions()}))
    return replace(report, coverage=replace(report.coverage, assumptions=assumed))


@gc_paused()
def examine(loaded: Loaded, plan: Plan, tell: Progress) -> Report:
    """The report on a loaded model: run it, carry dtypes along its graph, judge, prove fixes."""
    tell(f"running {loaded.name} without weights")
    loaded, captured = learned(loaded, plan)
    captured = captured.some()
    tell(f"carrying dtypes along {captured.coverage.ops} operations")
    flow = propagate(captured.graph, plan, inventory=loaded.inventory)
    findings = rules.check(flow)
    tell("proving fixes")
    if captured.stop is None or not captured.stop.interrupted:
        with suppress(Interrupted):  # findings without proofs are worth more than none
            findings = fixes.prove(loaded, plan, flow, findings)
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


def silent(_: str) -> None:
    """Tell nobody."""
    return None
