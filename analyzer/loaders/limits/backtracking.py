"""Tells whether a regular expression of a stranger can keep Python's matcher busy, from its parsed form alone."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from math import inf, log
from typing import Any, Final, TypeAlias

codes: Any = import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
"""Python's own parser, which names what it finds."""

_Node: TypeAlias = tuple[Any, Any]
_Nodes: TypeAlias = Sequence[_Node]

LONGEST: Final = 4096
"""Characters of one pattern; the longest real one that was found, unsloth's, has 460."""
_NAME: Final = 200
"""Characters of a module's name that are reckoned with; real ones have up to about 100."""
_COMMON: Final = 30
"""How often one character stands in such a name at most; a word of n letters stands there n times less often."""
_RARELY: Final = 4
"""The same of a long word."""
_WAYS: Final = 1_000_000
"""Ways through a pattern that are still quick: fewer than a million steps, some ten milliseconds, a name."""
_TURNS: Final = 1000
"""Times that a part may be asked for at least; the matcher counts them one by one, also where the part is empty."""
_WIDTH: Final = 1 << 20
"""Characters in all ranges of a pattern; ignoring case, the compiler goes through them one by one."""

_ASCII: Final = frozenset(range(128))
_OTHER: Final = -1
"""Stands in a set of characters for all that are not ASCII."""
_ANY: Final = _ASCII | {_OTHER}
_UNKNOWN: Final[_Node] = ("unknown", None)
"""Stands for what follows one turn of a loop: another turn, or what comes behind the loop."""
_SINGLE: Final = (codes.LITERAL, codes.NOT_LITERAL, codes.ANY, codes.IN)
_LOOPS: Final = tuple(
    getattr(codes, name) for name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") if hasattr(codes, name)
)
_AROUND: Final = (codes.ASSERT, codes.ASSERT_NOT)
_CATEGORIES: Final = {
    codes.CATEGORY_DIGIT: r"\d", codes.CATEGORY_NOT_DIGIT: r"\D", codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S", codes.CATEGORY_WORD: r"\w", codes.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip


def slow(pattern: str) -> str:
    r"""Why a pattern can be slow on a name of 200 characters, in words that follow "it"; "" where it cannot.

    A pattern that Python refuses to compile is not slow: whoever compiles it says what is wrong with it.

    >>> slow(r".*layers\.\d+\.(?:q|k|v)_proj"), slow(r"(a+)+$")
    ('', 'repeats what repeats itself in more than one way')
    """
    if len(pattern) > LONGEST:
        return f"has {len(pattern):,} characters, more than {LONGEST:,}"
    try:
        nodes = tuple(codes.parse(pattern))
    except RecursionError:
        return "is nested too deeply"
    except (re.error, OverflowError, ValueError):
        return ""
    try:
        if _turns(nodes) > _TURNS:
            return f"asks for more than {_TURNS:,} turns of a part"
        if _range_width(nodes) > _WIDTH:
            return "has ranges of too many characters"
        return _verdict(_ways(nodes, ()))
    except RecursionError:
        return "is nested too deeply"


def _verdict(ways: float) -> str:
    if ways == inf:
        return "repeats what repeats itself in more than one way"
    return "can match in too many ways: too many parts of any length" if ways > _WAYS else ""


def _ways(nodes: _Nodes, after: _Nodes) -> float:
    """In how many ways the nodes can match from one place in a name, where `after` has to follow; inf is too many."""
    found = 1.0
    for i, node in enumerate(nodes):
        found *= _ways_of(node, (*nodes[i + 1 :], *after))
    return found


def _ways_of(node: _Node, after: _Nodes) -> float:
    code, value = node
    if code in _LOOPS:
        return _ways_of_loop(value[0], value[1], value[2], after)
    if code is codes.BRANCH:
        return _ways_of_branch([tuple(one) for one in value[1]], after)
    if code in _AROUND:
        return _ways(tuple(value[1]), ())
    if code is codes.GROUPREF_EXISTS:
        return sum(_ways(tuple(one), after) for one in value[1:] if one is not None)
    inside = _inside(node)
    return 1 if inside is None else _ways(inside, after)


def _ways_of_loop(least: int, most: int, body: Any, after: _Nodes) -> float:
    nodes = tuple(body)
    if most <= 1:
        return _ways(nodes, after) + (least == 0)
    one, width = _ways(nodes, (_UNKNOWN,)), int(body.getwidth()[0])
    turns = min(most, _NAME // max(1, width))
    if one > 1 or width == 0:  # the matcher may go through an empty part once more, or not
        one = max(one, 2)
        return inf if turns * log(one) > log(_WAYS) else one**turns * turns
    starts, ends_here = _starts(after)
    if not after or (not ends_here and not starts & _starts(nodes)[0]):
        return 1  # what follows can stand in one place alone
    return min(turns - min(least, turns) + 1, _places(after))


def _ways_of_branch(options: list[_Nodes], after: _Nodes) -> float:
    """Alternatives that cannot match at the same place do not add up."""
    ways = [_ways(one, after) for one in options]
    starts = [_starts((*one, *after))[0] for one in options]
    words = [_word(one) for one in options]
    most = 1.0
    for i in range(len(options)):
        most = max(most, sum(ways[j] for j in range(len(options)) if _overlap(starts, words, i, j)))
    return most


def _overlap(starts: list[frozenset[int]], words: list[tuple[int, ...]], i: int, j: int) -> bool:
    length = min(len(words[i]), len(words[j]))
    return bool(starts[i] & starts[j]) and words[i][:length] == words[j][:length]


def _word(nodes: _Nodes) -> tuple[int, ...]:
    """The literal characters that the nodes begin with."""
    found = []
    for code, value in nodes:
        if code is not codes.LITERAL:
            break
        found.append(value)
    return tuple(found)


def _starts(nodes: _Nodes) -> tuple[frozenset[int], bool]:
    """The characters that a match of the nodes can begin with, and whether it can be empty."""
    found: frozenset[int] = frozenset()
    for node in nodes:
        code = node[0]
        if code is _UNKNOWN[0] or code is codes.GROUPREF:
            return _ANY, False
        if code in _SINGLE:
            return found | _characters(node), False
        inner, empty = _starts_inside(node)
        found |= inner
        if not empty:
            return found, False
    return found, True


def _starts_inside(node: _Node) -> tuple[frozenset[int], bool]:
    code, value = node
    if code is codes.AT or code in _AROUND:
        return frozenset(), True
    if code is codes.BRANCH or code is codes.GROUPREF_EXISTS:
        options = value[1] if code is codes.BRANCH else value[1:]
        each = [_starts(tuple(one or ())) for one in options]
        return frozenset().union(*(one for one, _ in each)), any(empty for _, empty in each) or None in options
    if code in _LOOPS:
        inner, empty = _starts(tuple(value[2]))
        return inner, empty or value[0] == 0
    return _starts(_inside(node) or ())


def _places(nodes: _Nodes) -> int:
    """At how many places of a name the nodes can begin at most."""
    if not nodes:
        return 1
    node, rest = nodes[0], nodes[1:]
    code, value = node
    if code is codes.LITERAL:
        return max(_RARELY, _COMMON // len(_word(nodes)))
    if code is codes.IN and len(some := _characters(node)) * _COMMON < _NAME and _OTHER not in some:
        return len(some) * _COMMON
    if code is codes.BRANCH:
        return min(_NAME, sum(_places((*one, *rest)) for one in value[1]))
    if code is codes.AT:
        return 1 if value in (codes.AT_END, codes.AT_END_STRING) else _places(rest) if rest else _NAME
    if code in _AROUND:
        return _places(rest) if rest else _NAME
    if code in _LOOPS:
        return _places((*value[2], *rest)) if value[0] else min(_NAME, _optional(value[2], rest))
    inside = _inside(node)
    return _NAME if inside is None else _places((*inside, *rest))


def _optional(body: Any, rest: _Nodes) -> int:
    return _places((*body, *rest)) + _places(rest) if rest else _NAME


def _inside(node: _Node) -> _Nodes | None:
    """The nodes in a group; None for a node that is no group."""
    code, value = node
    if code is codes.SUBPATTERN:
        return tuple(value[-1])
    if code is getattr(codes, "ATOMIC_GROUP", None):
        return tuple(value)
    return None


def _children(node: _Node) -> Iterable[_Nodes]:
    code, value = node
    if code in _LOOPS:
        return [tuple(value[2])]
    if code is codes.BRANCH:
        return [tuple(one) for one in value[1]]
    if code in _AROUND:
        return [tuple(value[1])]
    if code is codes.GROUPREF_EXISTS:
        return [tuple(one) for one in value[1:] if one is not None]
    inside = _inside(node)
    return [] if inside is None else [inside]


def _turns(nodes: _Nodes) -> int:
    """How often the matcher goes through the nodes at least, loops within loops multiplied."""
    found = 1
    for node in nodes:
        least = max(1, node[1][0]) if node[0] in _LOOPS else 1
        found = max(found, least * max((_turns(one) for one in _children(node)), default=1))
    return found


def _range_width(nodes: _Nodes) -> int:
    found = 0
    for node in nodes:
        if node[0] is codes.IN:
            found += sum(value[1] - value[0] for code, value in node[1] if code is codes.RANGE)
        found += sum(_range_width(one) for one in _children(node))
    return found


def _characters(node: _Node) -> frozenset[int]:
    """The characters that a node of one character takes, both cases of each: flags are not looked at."""
    code, value = node
    if code is codes.LITERAL:
        return _cases(value)
    if code is codes.NOT_LITERAL:
        return _ANY - {value}
    if code is codes.ANY:
        return _ANY
    taken = frozenset[int]().union(*(_members(kind, detail) for kind, detail in value))
    if value[0][0] is codes.NEGATE:  # one case left out is not both
        return (_ANY - taken) | {_OTHER}
    return taken.union(*(_cases(one) for one in taken if one != _OTHER))


def _members(kind: Any, detail: Any) -> frozenset[int]:
    if kind is codes.LITERAL:
        return frozenset({detail if detail < 128 else _OTHER})
    if kind is codes.RANGE:
        low, high = detail
        return frozenset(range(low, min(high, 127) + 1)) | ({_OTHER} if high > 127 else frozenset())
    if kind is codes.CATEGORY:
        return frozenset(one for one in _ASCII if re.match(_CATEGORIES[detail], chr(one))) | {_OTHER}
    return frozenset()


def _cases(character: int) -> frozenset[int]:
    if character > 127:
        return frozenset({_OTHER})
    text = chr(character)
    return frozenset({ord(text.lower()), ord(text.upper())})
