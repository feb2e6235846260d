"""The options that say which model is meant and under which plan, for every command that traces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from analyzer.errors import AnalyzerError
from analyzer.ir.closed_sets import SCOPES, STAGES, TARGETS
from analyzer.ir.dtypes import parse_autocast, parse_dtype
from analyzer.ir.steps import TWICE, Step, parse_steps
from analyzer.ir.stubs import parse_stubs

if TYPE_CHECKING:
    from analyzer.ir.plan import Plan


@dataclass(frozen=True)
class Asked:
    """What a person asked for: a model folder, and what to read the plan from."""

    model_dir: Path
    flags: dict[str, Any]
    """Fields of the plan that flags set."""
    recipes: tuple[Path, ...]
    inputs: Path | None
    trust_remote_code: bool
    stage: str | None = None
    """The one stage of a recipe that is asked for."""
    plan_file: Path | None = None
    steps: tuple[Step, ...] = ()
    """The forward passes that are asked for; empty is one."""
    stubs: tuple[str, ...] = ()
    """Packages that the model's code imports and that stand-ins replace."""

    @property
    def tracing(self) -> dict[str, Any]:
        """What a trace takes besides model and plan, by the names of `pipeline.run_trace`."""
        return {
            "trust_remote_code": self.trust_remote_code,
            "inputs_file": self.inputs,
            "stubs": self.stubs,
            "steps": self.steps,
        }

    def plans(self, tried: dict[str, str] | None = None) -> tuple[Plan, ...]:
        """The plan of each stage, with keys of the recipe that are tried instead of what it says."""
        from analyzer import plans

        if not self.recipes:
            tried = None  # there is no recipe to put a key into
        return plans.make(self.flags, self.recipes, stage=self.stage, tried=tried, plan_file=self.plan_file)


_FILES: Final = (".pt2", ".py")
"""Suffixes of files that are a model themselves."""
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
    click.option("--device", type=click.Choice(TARGETS), help="Whose kernels.  [default: cuda]"),
    click.option("--train", is_flag=True, help="Follow the backward pass too, in training mode."),
    click.option("--autocast", metavar="DEVICE:D", help="Run under torch.autocast, such as cuda:bfloat16."),
    click.option("--scope", type=click.Choice(SCOPES), help="What autocast is around.  [default: forward]"),
    click.option("--inputs", type=click.Path(path_type=Path), metavar="F", help="Python file: inputs(config) -> dict."),
    click.option("--steps", metavar="S,S", help="Several calls: prefill,decode; forward,length=64; forward,image=448."),
    click.option("--twice", is_flag=True, help="Call it twice, as --steps forward,forward."),
    click.option("--stub", "stubs", multiple=True, metavar="P,P", help="Stand in for missing packages: flash_attn."),
    click.option("--trust-remote-code", is_flag=True, help="Run the Python code in MODEL_DIR."),
)  # fmt: skip


Ask = Callable[[Path], Asked]
"""What is asked of a model, checked: with its folder or file, the options become one `Asked`."""


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command one model and these options; it gets them as one argument, `asked`, checked."""

    @wraps(command)
    def asking(*, model_dir: Path, ask: Ask, **others: Any) -> Any:
        return command(asked=ask(model_dir), **others)

    return _MODEL(trace_options(asking))


def trace_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options without a model; it gets them as one argument, `ask`."""

    @wraps(command)
    def asking(
        *, recipes: tuple[Path, ...], dtype: str | None, to: str | None, sets: tuple[str, ...],
        adapter: Path | None, no_autocast_adapter_dtype: bool, input_dtypes: tuple[str, ...], device: str | None,
        train: bool, autocast: str | None, scope: str | None, inputs: Path | None, trust_remote_code: bool,
        stage: str | None, plan_file: Path | None, steps: str | None, twice: bool,
        stubs: tuple[str, ...], **others: Any,
    ) -> Any:  # fmt: skip
        flags = {
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
        given: dict[str, Any] = {key: value for key, value in flags.items() if value}
        if no_autocast_adapter_dtype:
            given["autocast_adapter_dtype"] = False

        def ask(model: Path) -> Asked:
            _check(model, inputs, recipes)
            if adapter is not None and not adapter.is_dir():
                hint = "give a folder with an adapter_config.json"
                raise AnalyzerError(f"no such adapter folder: {adapter}", hint=hint)
            if steps and twice:
                raise AnalyzerError("--steps and --twice exclude each other", hint="give one of them")
            if scope and not (autocast or recipes or plan_file):
                raise AnalyzerError("--scope says what autocast is around", hint="give --autocast too")
            calls = parse_steps(steps or TWICE * twice)
            packages = parse_stubs(stubs)
            return Asked(model, given, recipes, inputs, trust_remote_code, stage, plan_file, calls, packages)

        return command(ask=ask, **others)

    for option in reversed(_OPTIONS):
        asking = option(asking)
    return asking


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, dtype = text.rpartition("=")
        if not (name and equals):
            raise AnalyzerError(f"{option} '{text}' is not NAME=DTYPE", hint=f"for example {option} 'vpm.*=float32'")
        pairs[name] = parse_dtype(dtype)
    return pairs


def _check(model_dir: Path, inputs: Path | None, recipes: Sequence[Path]) -> None:
    if not model_dir.exists():
        raise AnalyzerError(f"no such folder: {model_dir}", hint="models are read from disk, never fetched")
    if not model_dir.is_dir() and model_dir.suffix not in _FILES:
        hint = f"give the folder that holds it, or a file {' or '.join(f'*{one}' for one in _FILES)}"
        raise AnalyzerError(f"{model_dir} is a file, not a model folder", hint=hint)
    if inputs is not None and not inputs.is_file():
        raise AnalyzerError(f"no such inputs file: {inputs}", hint="a Python file that defines inputs(config)")
    for recipe in recipes:
        if not recipe.is_file():
            raise AnalyzerError(f"no such recipe file: {recipe}", hint="JSON, YAML or training_args.bin")
