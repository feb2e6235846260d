"""How foreign words are written in each medium, one function a medium, so that they are words there and nothing else.

What a terminal shows and a log holds is made harmless by `analyzer.printable`; each of these does that too, as any file
may be printed.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from typing import Final
from unicodedata import category

from analyzer.printable import OLD_COMMAND, logged, shown

_MARKDOWN: Final = frozenset(" .,:;/+=-'\"?%()")
"""What means nothing to Markdown inside of a line."""
_AUTOLINK: Final = re.compile(r"(?i)(?<=http)://|(?<=https)://|(?<=ftp)://|(?<=www)\.")
_MERMAID: Final = frozenset(" _.,/()+=")
_MERMAID_LONGEST: Final = 200
_LINK: Final = re.compile(r"\[(?=[^\[\]]*\]\()")
_DATA: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = _DATA | {":": "%3A", ",": "%2C"}


def as_html(text: str, kept: str = "\n") -> str:
    """Text in HTML, between tags or in a quoted attribute; also in the labels of DOT that are HTML.

    >>> as_html('<script> "x"')
    '&lt;script&gt; &quot;x&quot;'
    """
    return html.escape(logged(shown(text, kept)))


def as_xml(text: str) -> str:
    r"""Characters that XML 1.0 can hold; the writer of XML escapes its markup.

    >>> print(as_xml("a\x00]]>"))
    a\x00]]>
    """
    return logged(shown(text, "\n\t"))


def as_dot(text: str) -> str:
    r"""A label of DOT, or of the SVG that is laid out of it: nothing in it is an escape or HTML.

    >>> as_dot("a\\N <b>")
    'a\\\\N <b>'
    """
    lines = "\n".join(line or " " for line in text.split("\n"))  # the engine that writes PDF dies of an empty line
    seen = logged(shown(lines, "\n")).replace("\\", "\\\\").replace("\n", "\\n").replace("&", "&amp;")
    # the graphviz package takes a text in angle brackets for HTML: a zero-width space keeps it a text
    return f"\u200b{seen}" if seen.startswith("<") and seen.endswith(">") else seen


def as_markdown(text: str) -> str:
    """Words in a line or a cell of Markdown, as they are: no markup, no mention, no link, no formula.

    >>> as_markdown("a|b `c` <d> @e www.f")
    'a&#124;b &#96;c&#96; &#60;d&#62; &#64;e www&#46;f'
    """
    line = shown(re.sub(r"[\r\n\t]", " ", text))
    made = "".join(c if c.isalnum() or c in _MARKDOWN else f"&#{ord(c)};" for c in line)
    return _AUTOLINK.sub(lambda match: f"&#{ord(match[0][0])};{match[0][1:]}", made)


def as_markdown_block(text: str, language: str = "") -> str:
    """A code block of Markdown that nothing in the text can end."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    lines = logged(shown(text, "\n\t")).rstrip()
    return f"{fence}{language}\n{lines}\n{fence}\n"


def as_mermaid(text: str) -> str:
    """Words that Mermaid shows as they are: whatever could mean something else is a character number.

    >>> as_mermaid('a"b`<c>|')
    'a#34;b#96;#60;c#62;#124;'
    """
    line = shown(text[:_MERMAID_LONGEST], "\n")
    made = "".join(c if (c.isascii() and c.isalnum()) or c in _MERMAID else f"#{ord(c)};" for c in line)
    return made.replace("#10;", "<br/>")


def as_json(data: object, indent: int | None = 1, readable: bool = False) -> str:
    r"""Data as JSON in ASCII; `readable` keeps letters of all languages, but nothing that cannot be seen.

    >>> print(as_json({"ü": "##vso[x]\u202e"}, None), as_json("ü\u202e", readable=True))
    {"\u00fc": "#\u0023vso[x]\u202e"} "ü\u202e"
    """
    text = json.dumps(data, indent=indent, ensure_ascii=not readable, allow_nan=False)
    if readable and not text.isprintable():
        text = "".join(c if c.isprintable() or c == "\n" or category(c) == "Zs" else _json_escape(c) for c in text)
    return OLD_COMMAND.sub(r"#\\u0023", text)


def as_sarif(text: str) -> str:
    r"""A message of SARIF, in which `[words](address)` would be a link.

    >>> print(as_sarif("[1, 2] [here](https://host)"))
    [1, 2] \[here](https://host)
    """
    return _LINK.sub(r"\\[", text)


def as_command_data(text: str) -> str:
    """The message of a workflow command of GitHub, which ends at no line end of the text."""
    return _commanded(text, _DATA)


def as_command_property(text: str) -> str:
    """A property of a workflow command of GitHub.

    >>> as_command_property("100%, a:b")
    '100%25%2C a%3Ab'
    """
    return _commanded(text, _PROPERTY)


def as_comment(text: str) -> str:
    """A line of Python of which nothing runs, and which Python does not take for the name of an encoding."""
    return f"# {re.sub('coding(?=[:=])', 'coding ', logged(shown(text)))}"


def _commanded(text: str, table: Mapping[str, str]) -> str:
    return OLD_COMMAND.sub(r"#\\x23", "".join(table.get(c) or shown(c) for c in text))


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]
