"""The command: arguments in, exit code out; nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from analyzer import __version__
from analyzer.deliver import STDOUT, check_file, check_folder, deliver, deliver_folder
from analyzer.dtypes import parse_autocast, parse_dtype
from analyzer.errors import AnalyzerError

if TYPE_CHECKING:
    from analyzer.report import Report

CLEAN, FOUND, FAILED = 0, 1, 2
"""Exit codes: nothing found, something found, could not run."""

STDOUT_FORMAT: Final = ".svg"
_FAILS_ON: Final = {"error": ("error",), "warning": ("error", "warning"), "never": ()}
_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "terminal_width": 100, "max_content_width": 100}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; every error is one line on stderr."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return int(cli.main(args, prog_name="analyze", standalone_mode=False) or CLEAN)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
    except click.ClickException as error:
        _complain(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        _complain("interrupted")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else the interpreter complains once more when it flushes
    except Exception as error:
        if "--debug" in args:
            traceback.print_exc()
        if isinstance(error, AnalyzerError):
            _complain(str(error))
        else:
            _complain(f"unexpected {type(error).__name__}: {error} (a fault in analyze; run again with --debug)")
    return FAILED


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"analyze {__version__} (torch {version('torch')}, transformers {version('transformers')})")
        context.exit()


@click.group(context_settings=_SETTINGS)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def cli() -> None:
    """Find dtype mismatches in PyTorch models, without weights, and draw where they come from."""


@cli.command("trace")
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option("--out", multiple=True, metavar="F", help="Write a file; the suffix says the format. '-': SVG to stdout.")
@click.option(
    "--repro",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a short script for each error.",
)
@click.option("--dtype", metavar="D", help="As in from_pretrained(dtype=D). Default: as the config says.")
@click.option("--to", metavar="D", help="As model.to(D) after loading.")
@click.option("--set", "sets", multiple=True, metavar="GLOB=D", help="Dtype of parts: 'vpm.*=float32'.")
@click.option("--input-dtype", "input_dtypes", multiple=True, metavar="NAME=D", help="Dtype of one input.")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True, help="Whose kernels.")
@click.option("--train", is_flag=True, help="Follow the backward pass too, in training mode.")
@click.option("--autocast", metavar="DEVICE:D", help="Run under torch.autocast, such as cuda:bfloat16.")
@click.option("--scope", type=click.Choice(["forward", "run"]), default="forward", help="What autocast is around.")
@click.option("--inputs", type=click.Path(path_type=Path), metavar="F", help="Python file: inputs(config) -> dict.")
@click.option("--trust-remote-code", is_flag=True, help="Run the Python code in MODEL_DIR.")
@click.option(
    "--fail-on", type=click.Choice(list(_FAILS_ON)), default="error", show_default=True, help="What makes the exit 1."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def trace_command(
    model_dir: Path,
    out: tuple[str, ...],
    repro: Path | None,
    dtype: str | None,
    to: str | None,
    sets: tuple[str, ...],
    input_dtypes: tuple[str, ...],
    device: str,
    train: bool,
    autocast: str | None,
    scope: str,
    inputs: Path | None,
    trust_remote_code: bool,
    fail_on: str,
    debug: bool,
) -> int:
    """Trace the model in MODEL_DIR and report what does not fit.

    Exit code: 0 nothing found, 1 something found (see --fail-on), 2 could not run.
    """
    options: dict[str, Any] = {
        "dtype": parse_dtype(dtype) if dtype else None,
        "to": parse_dtype(to) if to else None,
        "set": _pairs("--set", sets),
        "input_dtypes": _pairs("--input-dtype", input_dtypes),
        "device": device,
        "train": train,
        "autocast": ":".join(parse_autocast(autocast)) if autocast else None,
        "scope": scope,
    }
    _check_paths(model_dir, inputs, out)
    if repro is not None:
        check_folder(repro)
    with _progress() as tell:
        tell("importing torch")
        from rich.console import Console

        from analyzer.render import FORMATS, terminal

        _check_suffixes(out, FORMATS)
        from analyzer.pipeline import run_trace
        from analyzer.propagate import Plan

        plan = Plan(**options)
        report = run_trace(model_dir, plan, trust_remote_code=trust_remote_code, inputs_file=inputs, progress=tell)
        tell("drawing")
        rendered = _render(report, out, FORMATS)
    terminal.show(report, Console(file=sys.stderr if STDOUT in out else sys.stdout))
    for target, data in rendered.items():
        deliver(target, data)
    if repro is not None:
        _deliver_scripts(report, repro)
    return FOUND if any(f.severity in _FAILS_ON[fail_on] for f in report.findings) else CLEAN


@cli.command("explain")
@click.argument("code", required=False)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def explain_command(code: str | None, debug: bool) -> None:
    """Print the page of a rule, by code or by name; without one, list the rules."""
    pages = {(stem[:5].upper(), stem[6:].replace("_", "-")): doc for stem, doc in _rule_docs()}
    if code is None:
        for (number, name), doc in pages.items():
            click.echo(f"{number} {name}: {doc.splitlines()[0]}")
        return
    for (number, name), doc in pages.items():
        if code.casefold() in (number.casefold(), name):
            click.echo(f"{number} {name}\n\n{doc}")
            return
    from difflib import get_close_matches

    known = [word for key in pages for word in key]
    near = [*get_close_matches(code.upper(), known), *get_close_matches(code.lower(), known)]
    near.sort(key=lambda word: word[:3].casefold() != code[:3].casefold())  # same theme first: DT1xx
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(number for number, _ in pages)}"
    raise AnalyzerError(f"no rule '{code}'", hint=hint)


def _rule_docs() -> Iterator[tuple[str, str]]:
    """File stem and docstring of each rule, read without importing it."""
    import ast

    for file in sorted((Path(__file__).parent / "rules").glob("dt[0-9][0-9][0-9]_*.py")):
        yield file.stem, ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, dtype = text.rpartition("=")
        if not (name and equals):
            raise AnalyzerError(f"{option} '{text}' is not NAME=DTYPE", hint=f"for example {option} 'vpm.*=float32'")
        pairs[name] = parse_dtype(dtype)
    return pairs


def _check_paths(model_dir: Path, inputs: Path | None, out: Sequence[str]) -> None:
    if not model_dir.exists():
        raise AnalyzerError(f"no such folder: {model_dir}", hint="models are read from disk, never fetched")
    if not model_dir.is_dir():
        raise AnalyzerError(f"{model_dir} is a file, not a model folder", hint="give the folder that holds it")
    if inputs is not None and not inputs.is_file():
        raise AnalyzerError(f"no such inputs file: {inputs}", hint="a Python file that defines inputs(config)")
    for target in _files(out):
        check_file(Path(target))


def _check_suffixes(out: Sequence[str], formats: Mapping[str, Any]) -> None:
    for name in _files(out):
        if Path(name).suffix.lower() not in formats:
            raise AnalyzerError(f"unknown output format: {name}", hint=f"use one of {', '.join(formats)}")


def _deliver_scripts(report: Report, folder: Path) -> None:
    """Write the scripts; name on stderr each error that has none, and why."""
    from analyzer.render.repro import render
    from analyzer.report import no_script

    deliver_folder(folder, render(report))
    for finding in report.findings:
        if reason := no_script(report.graph, finding):
            _complain(f"no script for {finding.code} at {finding.file}:{finding.line}: {reason}")


def _files(out: Sequence[str]) -> list[str]:
    return [name for name in out if name != STDOUT]


def _render(report: Report, out: Sequence[str], formats: Mapping[str, Callable[[Report], bytes]]) -> dict[str, bytes]:
    """Bytes for each target; a format that fails is named on stderr and keeps no other from its file."""
    rendered = {}
    for target in dict.fromkeys(out):
        suffix = STDOUT_FORMAT if target == STDOUT else Path(target).suffix.lower()
        try:
            rendered[target] = formats[suffix](report)
        except AnalyzerError as error:
            _complain(f"{target} not written: {error}")
    return rendered


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """A line on stderr that says what is going on, where a person is looking."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update


def _complain(text: str) -> None:
    click.echo(f"analyze: {' '.join(text.split())}", err=True)
