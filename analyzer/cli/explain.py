"""`analyze explain`: the page of a rule, read from its file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from analyzer.cli.examples import EXAMPLES, SUMMARIES
from analyzer.errors import AnalyzerError

RULES: Final = Path(__file__).parents[1] / "rules"


def _complete(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    words = [word for pair in rule_names().items() for word in pair]
    return sorted(word for word in words if word.startswith(typed))


@click.command("explain", short_help=SUMMARIES["explain"], epilog=EXAMPLES["explain"])
@click.argument("code", required=False, shell_complete=_complete)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def explain_command(code: str | None, debug: bool) -> None:
    """Print the page of a rule, by code or by name; without one, list the rules."""
    pages = rule_pages()
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


def rule_pages() -> dict[tuple[str, str], str]:
    """Code and name of every rule -> its page, without importing one."""
    return {(stem[:5].upper(), stem[6:].replace("_", "-")): doc for stem, doc in _rule_docs()}


def rule_names() -> dict[str, str]:
    """Name of every rule -> its code, without importing one."""
    return {name: code for code, name in rule_pages()}


def _rule_docs() -> Iterator[tuple[str, str]]:
    """File stem and docstring of each rule, read without importing it."""
    import ast

    for file in sorted(RULES.glob("dt[0-9][0-9][0-9]_*.py")):
        yield file.stem, ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
