"""The options that say which model is meant and under which plan, for every command that traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import click

from analyzer.cli.project import Beside, beside, project_python
from analyzer.errors import AnalyzerError
from analyzer.foreign.model_place import located
from analyzer.ir.dtypes import parse_autocast, parse_dtype
from analyzer.ir.literal_types import DEVICES, SCOPES, STAGES
from analyzer.ir.plan import FieldValue
from analyzer.ir.steps import TWICE, parse_steps
from analyzer.plans.stub_names import parse_stubs
from analyzer.watched import bounded
from analyzer.worker.extra_packages import parse_requirement
from analyzer.worker.process import Bounds, WorkerOptions
from analyzer.worker.protocol import TraceRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asked for: one model under one set-up, and how its worker runs."""

    request: TraceRequest
    workers: WorkerOptions

    @property
    def model(self) -> Path:
        """The model's folder or file."""
        return Path(self.request.model)


_MOST: Final = 1_000_000
"""Seconds or gigabytes: a person who gives more means something else."""


if TYPE_CHECKING:
    _FloatType = click.ParamType[float]
else:
    _FloatType = click.ParamType  # takes a type in the newest clicks alone


class _Bound(_FloatType):
    """Seconds or gigabytes, 0 for no bound."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error for what is none, or is below 0."""
        try:
            number = float(str(value))
        except ValueError:
            number = -1.0
        if not 0 <= number <= _MOST:
            self.fail(f"'{value}' is no number from 0 to {_MOST:,}", param, ctx)
        return number


_ADAPTER: Final = "give a folder with an adapter_config.json"
_MODEL: Final = click.argument("model_dir", type=click.Path(path_type=Path))
_OPTIONS: Final = (
    click.option("--recipe", "recipes", multiple=True, type=click.Path(path_type=Path), metavar="F",
                 help="Training set-up: TrainingArguments, DeepSpeed or accelerate."),
    click.option("--stage", type=click.Choice(STAGES[1:]), help="One stage of the recipe.  [default: all]"),
    click.option("--plan", "plan_file", type=click.Path(path_type=Path), metavar="F",
                 help="Plan as JSON, as fix --apply writes it."),
    click.option("--dtype", metavar="D", help="As in from_pretrained(dtype=D). Default: as the config says."),
    click.option("--to", metavar="D", help="As model.to(D) after loading."),
    click.option("--set", "sets", multiple=True, metavar="GLOB=D", help="Dtype of parts: 'vpm.*=float32'."),
    click.option("--adapter", type=click.Path(path_type=Path), metavar="DIR", help="PEFT adapter to put in."),
    click.option("--no-autocast-adapter-dtype", is_flag=True, help="Leave adapters in the base's dtype."),
    click.option("--input-dtype", "input_dtypes", multiple=True, metavar="NAME=D", help="Dtype of one input."),
    click.option("--device", type=click.Choice(DEVICES), help="Whose kernels.  [default: cuda]"),
    click.option("--train", is_flag=True, help="Follow the backward pass too, in training mode."),
    click.option("--autocast", metavar="DEVICE:D", help="Run under torch.autocast, such as cuda:bfloat16."),
    click.option("--scope", type=click.Choice(SCOPES), help="What autocast is around.  [default: forward]"),
    click.option("--inputs", type=click.Path(path_type=Path), metavar="F", help="Python file: inputs(config) -> dict."),
    click.option("--only", type=click.Choice(("text",)), help="Feed only a text: no images, sounds, boxes."),
    click.option("--steps", metavar="S,S", help="Several calls: prefill,decode; forward,length=64; forward,image=448."),
    click.option("--twice", is_flag=True, help="Call it twice, as --steps forward,forward."),
    click.option("--stub", "stubs", multiple=True, metavar="P,P", help="Replace missing packages; auto: all of them."),
    click.option("--trust-remote-code", is_flag=True, help="Run the Python code in MODEL_DIR."),
    click.option("--python", metavar="P", help="Trace in this interpreter, with its torch and transformers."),
    click.option("--with", "packages", multiple=True, metavar="REQ",
                 help="Install this package aside, keep it, and trace with it: 'transformers==4.48.3'."),
    click.option("--deadline", type=_Bound(), default=300.0, metavar="S",
                 help="End the trace after S seconds; 0: never.  [default: 300]"),
    click.option("--max-memory", type=_Bound(), default=8.0, metavar="GB",
                 help="End a trace that takes more memory; 0: never.  [default: 8]"),
    click.option("--require-confined", is_flag=True, help="Refuse to run where the worker cannot be confined."),
    click.option("--in-process", is_flag=True, help="For debugging: no worker process, nothing confined or bounded."),
)  # fmt: skip

allow_incomplete: Final = click.option(
    "--allow-incomplete/--require-complete", default=False,
    help="A run that stops early with nothing found exits with 0, not 2.",
)  # fmt: skip
notes: Final = click.option("--notes", is_flag=True, help="Show the details of notes, which else are one line each.")


Result = TypeVar("Result")
Ask = Callable[[Path], Asked]
"""What is asked of a model, checked: with its folder or file, the options become one `Asked`."""


def plan_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command one model and these options; it gets them as one argument, `asked`, checked."""

    @wraps(command)
    def asking(*, model_dir: Path, ask: Ask, **others: object) -> Result:
        return command(asked=ask(model_dir), **others)

    return _MODEL(trace_options(asking))


def trace_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command these options without a model; it gets them as one argument, `ask`."""

    @wraps(command)
    def asking(
        *, recipes: tuple[Path, ...], dtype: str | None, to: str | None, sets: tuple[str, ...],
        adapter: Path | None, no_autocast_adapter_dtype: bool, input_dtypes: tuple[str, ...], device: str | None,
        train: bool, autocast: str | None, scope: str | None, inputs: Path | None, trust_remote_code: bool,
        stage: str | None, plan_file: Path | None, steps: str | None, twice: bool,
        stubs: tuple[str, ...], only: str | None, python: str | None, packages: tuple[str, ...],
        deadline: float, max_memory: float,
        require_confined: bool, in_process: bool, debug: bool, **others: object,
    ) -> Result:  # fmt: skip
        flags: dict[str, FieldValue] = {
            "device": device,
            "dtype": parse_dtype(dtype) if dtype else None,
            "to": parse_dtype(to) if to else None,
            "set": _pairs("--set", sets),
            "adapter": str(adapter) if adapter else None,
            "input_dtypes": _pairs("--input-dtype", input_dtypes),
            "train": train,
            "autocast": ":".join(parse_autocast(autocast)) if autocast else None,
            "scope": scope,
        }
        given: dict[str, FieldValue] = {key: value for key, value in flags.items() if value}
        if no_autocast_adapter_dtype:
            given["autocast_adapter_dtype"] = False

        def ask(model: Path) -> Asked:
            model = located(model)
            _check(inputs, recipes)
            around = autocast or recipes or plan_file
            _refuse(
                (adapter is not None and not adapter.is_dir(), f"no such adapter folder: {adapter}", _ADAPTER),
                (steps and twice, "--steps and --twice exclude each other", "give one of them"),
                (only and inputs, "--only says what is made up, and --inputs gives it", "give one of them"),
                (scope and not around, "--scope says what autocast is around", "give --autocast too"),
                (python == "", "--python names no interpreter", "such as --python .venv/bin/python"),
                (
                    plan_file and recipes,
                    "--plan and --recipe exclude each other",
                    "a plan file says all that a recipe does",
                ),
                (in_process and packages, "--in-process and --with exclude each other", "leave one of them out"),
            )
            calls = TWICE if twice else steps or ""
            parse_steps(calls)
            wanted = tuple(dict.fromkeys(map(parse_requirement, packages)))
            named, other = _interpreters(model, bool(in_process or python))
            request = TraceRequest(
                model=str(model),
                flags=given,
                recipes=tuple(map(str, recipes)),
                stage=stage,
                plan_file=_text(plan_file),
                inputs=_text(inputs),
                trust_remote_code=trust_remote_code,
                stubs=parse_stubs(stubs),
                text_only=only == "text",
                steps=calls,
                python=python or "",
                packages=tuple(one for one in wanted if not one.startswith("transformers=")),
                beside=other.python,
                beside_has=other.has,
            )
            bounds = Bounds(deadline, int(max_memory * (1 << 30)), require_confined)
            bounded(bounds.deadline, bounds.max_memory)
            return Asked(request, WorkerOptions(python or named, bounds, in_process, debug, wanted))

        return command(ask=ask, **others)

    for option in reversed(_OPTIONS):
        asking = option(asking)
    return asking


def _refuse(*rows: tuple[object, str, str]) -> None:
    """Raise AnalyzerError for the first row that is so, with its words and its hint."""
    for is_so, message, hint in rows:
        if is_so:
            raise AnalyzerError(message, hint=hint)


def _interpreters(model: Path, chosen: bool) -> tuple[str, Beside]:
    """The interpreter that the project names, and one that is only beside it; neither where one is chosen already."""
    named = "" if chosen else project_python(model)
    return named, Beside() if chosen or named else beside(model)


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, dtype = text.rpartition("=")
        if not (name and equals):
            raise AnalyzerError(f"{option} '{text}' is not NAME=DTYPE", hint=f"for example {option} 'vpm.*=float32'")
        pairs[name] = parse_dtype(dtype)
    return pairs


def _check(inputs: Path | None, recipes: Sequence[Path]) -> None:
    if inputs is not None and not inputs.is_file():
        raise AnalyzerError(f"no such inputs file: {inputs}", hint="a Python file that defines inputs(config)")
    for recipe in recipes:
        if not recipe.is_file():
            raise AnalyzerError(f"no such recipe file: {recipe}", hint="JSON, YAML or training_args.bin")
