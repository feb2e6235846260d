"""The Python face: trace a model folder, a module or any function of tensors, in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import nn

from analyzer.actions.trace import examine, run_trace
from analyzer.errors import AnalyzerError
from analyzer.foreign.model_place import located
from analyzer.ir.plan import Plan
from analyzer.ir.steps import parse_steps
from analyzer.loaders.request import ModelRequest, silent
from analyzer.plans.stub_names import parse_stubs
from analyzer.report import DISPLAYS, Report
from analyzer.running.forward import from_callable
from analyzer.running.process_state import left_as_found


def trace(
    target: str | Path | nn.Module | Callable[..., object],
    args: tuple[object, ...] = (),
    kwargs: Mapping[str, object] | None = None,
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

    Where an error of the model ends the run, the report is on what was reached: see `Report.complete`, `Report.ok`.
    """
    plan = plan or Plan()
    if isinstance(target, (str, Path)):
        if args or kwargs:
            raise AnalyzerError("a model folder takes no args or kwargs", hint="give inputs_file=FILE instead")
        file = Path(inputs_file) if inputs_file is not None else None
        packages, passes = parse_stubs(stubs), parse_steps(steps)
        return run_trace(ModelRequest(located(Path(target)), plan, trust_remote_code, file, packages, passes))
    if plan.dtype or plan.to or plan.set or plan.input_dtypes:
        raise AnalyzerError(
            "a plan with dtypes needs a model folder", hint="cast the module and its arguments before tracing"
        )
    with left_as_found():
        return examine(from_callable(target, args, kwargs, parse_steps(steps)), plan, silent)


def _html(report: Report) -> str:
    from analyzer.render import notebook

    return notebook.html(report)


def _svg(report: Report) -> str:
    from analyzer.render import notebook

    return notebook.svg(report)


DISPLAYS.update(html=_html, svg=_svg)
