"""Pages that mkdocs makes from the code itself: one a rule, the commands' help, the Python interface, the notes."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

import analyzer
from analyzer.cli import cli
from analyzer.cli.explain import rule_pages

_NOTES = Path(__file__).parent / "notes"


def on_files(files: Files, config: Any) -> Files:
    """Add what is generated to what lies in the folder."""
    for path, text in pages():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links out of the folder, which a reader of the repository can follow, become plain text on the site."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[\w./-]+\)", r"\1", markdown)


def pages() -> Iterator[tuple[str, str]]:
    """Path under the site -> Markdown."""
    rules = rule_pages()
    yield "rules/index.md", "# Rules\n\n" + "".join(_row(code, name, doc) for (code, name), doc in rules.items())
    for (code, name), doc in rules.items():
        yield f"rules/{code.lower()}.md", f"# {code} {name}\n\n{doc}\n"
    yield "reference/commands.md", "# Commands\n\n" + "".join(_help())
    yield "reference/python.md", "# Python\n\n" + "".join(_python())
    yield "notes/index.md", "# Notes\n\n" + "".join(_note(path) for path in sorted(_NOTES.glob("*.md")))


def _row(code: str, name: str, doc: str) -> str:
    return f"- [{code} {name}]({code.lower()}.md): {doc.splitlines()[0]}\n"


def _help() -> Iterator[str]:
    os.environ["COLUMNS"] = "80"
    top = click.Context(cli, info_name="analyze", max_content_width=80)
    yield f"    {cli.get_help(top)}\n".replace("\n", "\n    ").rstrip() + "\n\n"
    for name, command in sorted(cli.commands.items()):
        context = click.Context(command, info_name=name, parent=top, max_content_width=80)
        text = command.get_help(context).replace("\n", "\n    ")
        yield f"## analyze {name}\n\n    {text.rstrip()}\n\n"


def _python() -> Iterator[str]:
    for name in sorted(set(analyzer.__all__) - {"__version__"}):
        thing = getattr(analyzer, name)
        signature = str(inspect.signature(thing)).replace("analyzer.", "")
        yield f"## analyzer.{name}\n\n```python\n{name}{signature}\n```\n\n{inspect.getdoc(thing)}\n\n"
        for attribute, member in sorted(vars(thing).items()) if inspect.isclass(thing) else ():
            doc = inspect.getdoc(member) if not attribute.startswith("_") else None
            if doc and (inspect.isfunction(member) or isinstance(member, property)):
                yield f"`{attribute}`: {doc.splitlines()[0]}\n\n"


def _note(path: Path) -> str:
    return f"- [{path.read_text(encoding='utf-8').splitlines()[0].lstrip('# ')}]({path.name})\n"
