"""The whole path from a model to a report: read `_examine` for the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from torch import nn

from analyzer import __version__, loaders, remedy, rules
from analyzer.capture import Captured, Loaded
from analyzer.capture.absent import present
from analyzer.capture.autocast import home
from analyzer.capture.run import from_callable
from analyzer.collecting import seldom
from analyzer.errors import AnalyzerError
from analyzer.loaders.habitat import habitat
from analyzer.loaders.inputs.learning import learned
from analyzer.plan import Plan
from analyzer.propagate import propagate
from analyzer.render import notebook
from analyzer.report import DISPLAYS, Report, count_elements, take_census
from analyzer.review import Check
from analyzer.review.quoting import quote
from analyzer.steps import Step, parse_steps
from analyzer.stubs import parse_stubs

Progress = Callable[[str], None]
MOST_EDITED: Final = 4
"""For how many errors of a check a change of the source is looked for."""

DISPLAYS.update(notebook.DISPLAYS)


def run_stages(path: Path, plans: Sequence[Plan], **options: Any) -> Report:
    """Trace the model in a folder under the plan of each stage: the first one's report, the others inside it.

    Takes the options of `run_trace`, and raises what it raises.
    """
    first, *others = [run_trace(path, plan, **options) for plan in plans]
    return replace(first, others=tuple(others))


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
    tell = progress or _silent
    tell("building the model without weights")
    path, plan = loaders.settle(path, plan)
    with habitat(plan.device, stubs) as place:
        with present(home(plan)):
            loaded = loaders.load(
                path, plan, trust_remote_code=trust_remote_code, inputs_file=inputs_file, progress=tell
            )
        report = _examine(replace(loaded, steps=steps), plan, tell)
        assumed = tuple(sorted({*report.coverage.assumptions, *place.assumptions()}))
    return replace(report, coverage=replace(report.coverage, assumptions=assumed))


def run_fix(
    path: Path,
    plans: Sequence[Plan],
    *,
    asked: Sequence[remedy.Proposal] = (),
    trust_remote_code: bool = False,
    inputs_file: Path | None = None,
    stubs: Sequence[str] = (),
    steps: tuple[Step, ...] = (),
    progress: Progress | None = None,
) -> tuple[int, list[remedy.Trial]]:
    """How many errors the stages have, and the changes that could clear them, ranked; raises as `run_trace` does."""
    tell = progress or _silent
    settled = [loaders.settle(path, plan) for plan in plans]
    path, plans = settled[0][0], [plan for _, plan in settled]

    reload = _reloader(path, trust_remote_code, inputs_file, steps)
    with habitat(plans[0].device, stubs):
        cases = []
        for plan in plans:
            tell("tracing the model as it is")
            cases.append(remedy.Case.of(*reload(plan, None, None), plan))
        errors = sum(case.errors for case in cases)
        early = [stop for case in cases if (stop := case.flow.graph.stop)]
        if early and not errors:
            raise AnalyzerError(f"the run stops early: {early[0].reason} at {early[0].place}", hint="see analyze trace")
        tell("trying fixes")
        return errors, remedy.judge(cases, path, reload, asked)


def with_edits(
    check: Check,
    path: Path,
    *,
    trust_remote_code: bool = False,
    inputs_file: Path | None = None,
    stubs: Sequence[str] = (),
    steps: tuple[Step, ...] = (),
    progress: Progress | None = None,
) -> Check:
    """The check, each failing error with a change of the folder's source that was proved to help, where there is one.

    It costs a capture a proposal; MOST_EDITED errors at most are looked at.
    """
    tell = progress or _silent
    reload = _reloader(path, trust_remote_code, inputs_file, steps)
    wanted = [one for one in check.failing if one.finding.severity == "error"][:MOST_EDITED]
    edited = {}
    for one in wanted:
        tell(f"trying casts in the source for {one.finding.code}")
        stage = next(stage for stage in check.report.stages if one.finding in stage.findings)
        case = remedy.Case(stage.plan, stage.flow, stage.findings)
        with habitat(stage.plan.device, stubs):
            trial = remedy.judge_edits(case, one.finding, path, reload)
        if trial:
            edited[one.key] = trial.proposal.edits[0]
    judged = tuple(replace(one, edit=edited.get(one.key)) for one in check.judged)
    return replace(check, judged=judged)


def trace(
    target: str | Path | nn.Module | Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    plan: Plan | None = None,
    trust_remote_code: bool = False,
    inputs_file: str | Path | None = None,
    stubs: Sequence[str] = (),
    steps: str = "",
) -> Report:
    """Trace a model folder or file, a module, or any function of tensors with example arguments.

    `steps` names the forward passes, where there is to be more than one: "prefill,decode", "forward,forward".

    A module or function is taken in the dtypes it has; of the plan only the device, the autocast and `train` count.
    """
    plan = plan or Plan()
    if isinstance(target, (str, Path)):
        if args or kwargs:
            raise AnalyzerError("a model folder takes no args or kwargs", hint="give inputs_file=FILE instead")
        file = Path(inputs_file) if inputs_file is not None else None
        return run_trace(
            Path(target),
            plan,
            trust_remote_code=trust_remote_code,
            inputs_file=file,
            stubs=parse_stubs(stubs),
            steps=parse_steps(steps),
        )
    if plan.dtype or plan.to or plan.set or plan.input_dtypes:
        raise AnalyzerError(
            "a plan with dtypes needs a model folder", hint="cast the module and its arguments before tracing"
        )
    return _examine(from_callable(target, args, kwargs, parse_steps(steps)), plan, _silent)


def _reloader(path: Path, trusted: bool, inputs_file: Path | None, steps: tuple[Step, ...]) -> remedy.Reload:
    def reload(plan: Plan, folder: Path | None, inputs: Path | None) -> tuple[Loaded, Captured]:
        with present(home(plan)):
            loaded = loaders.load(folder or path, plan, trust_remote_code=trusted, inputs_file=inputs or inputs_file)
        return learned(replace(loaded, steps=steps), plan)

    return reload


@seldom()
def _examine(loaded: Loaded, plan: Plan, tell: Progress) -> Report:
    tell(f"running {loaded.name} without weights")
    loaded, captured = learned(loaded, plan)
    captured = captured.some()
    tell(f"carrying dtypes along {captured.coverage.ops} operations")
    flow = propagate(captured.graph, plan, inventory=loaded.inventory)
    findings = rules.check(flow)
    tell("proving fixes")
    findings = remedy.prove(loaded, plan, flow, findings)
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
    return {"analyzer": __version__, **{name: _version(name) for name in ("torch", "transformers")}}


@cache
def _version(name: str) -> str:
    return metadata.version(name)


def _silent(_: str) -> None:
    return None
