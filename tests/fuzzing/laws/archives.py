"""Mutates the files that libraries load: safetensors, zip archives of torch, and the pickles and JSON in them."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.fuzzing.laws import texts, trees
from tests.fuzzing.payloads import LINE, MODULE, pickled

Members = list[tuple[str, bytes]]
_BOMB: Final = 1 << 29
"""Bytes that a small member becomes when it is read."""
_EXPRESSIONS: Final = (
    LINE, f"__import__('{MODULE}')", "Max(1, 2)", "s0*" * 2000 + "s0", "10**10**10", "2**2**2**2**2**2", "(" * 5000,
    "Symbol('x').func.__class__", "integrate(exp(x**x), x)", "factorial(10**9)", "s0//0", "oo", "zoo", "nan",
    "Lambda(x, x)", "lambda: 0", "[x for x in ()]", "s0 if s0 else 1", "\ud800", "", "9" * 5000,
)  # fmt: skip
_TARGETS: Final = (
    "torch.serialization.os.system", "torch.ops.aten.from_file.default", "os.system", "builtins.exec",
    "torch.ops.aten.nonexistent.default", "torch.ops.load_library", "_operator.attrgetter", "torch.hub.load",
    "torch.ops.aten.mm.default", "torch.ops.aten.empty.memory_format", "torch.load", "math.factorial", "", ".", "a..b",
    "torch.ops.higher_order.cond", "torch.ops.higher_order.wrap_with_autocast", f"{MODULE}.X", "torch.ops.aten.mm.out",
)  # fmt: skip
_BOMBED: Final = 0.005
"""Share of archives that get a bomb: it takes a second to make one."""
_ACTING: Final = ("target", "expr_str", "as_expr", "as_string", "as_operator", "name", "custom_op", "as_int")
"""Keys of an exported program whose values some code obeys."""


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with a header, and a length of it that may lie."""
    text = header if isinstance(header, bytes) else trees.written(header)
    return struct.pack("<Q", len(text) if length is None else length & (2**64 - 1)) + text + data


def safetensors_changed(content: bytes, random: Random, trail: list[str]) -> bytes:
    """Another header, another length, or damage."""
    size = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + size], content[8 + size :]
    draw, tree = random.random(), trees.read(header)
    if draw < 0.6 and tree is not None:
        return safetensors(trees.changed(tree, random, trail), data)
    if draw < 0.7:
        length = random.choice((0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1, 100_000_001, len(content)))
        trail.append(f"length {length}")
        return safetensors(header, data, length)
    if draw < 0.85:
        return safetensors(damaged(header, random, trail, ".json"), data)
    return damaged(content, random, trail)


def damaged(content: bytes, random: Random, trail: list[str], suffix: str = "") -> bytes:
    """A text or bytes by one of the plain laws."""
    law = random.choice(texts.BY_SUFFIX.get(suffix, texts.PLAIN))
    trail.append(law.__name__)
    return law(content, random)


def zip_changed(content: bytes, random: Random, trail: list[str]) -> bytes:
    """An archive with another member, or damaged as a whole."""
    members = _members(content)
    draw = random.random()
    if draw < 0.15 or not members:
        return damaged(content, random, trail)
    law = member_bomb if draw > 1 - _BOMBED else random.choice(_ZIP_LAWS)
    trail.append(law.__name__)
    return zipped(law(members, random, trail), random.random() < 0.1)


def zipped(members: Members, deflated: bool = False) -> bytes:
    """An archive of these members."""
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        with zipfile.ZipFile(target, "w") as archive:
            for name, data in members:
                info = zipfile.ZipInfo(name)
                bomb = len(data) >= _BOMB
                info.compress_type = zipfile.ZIP_DEFLATED if deflated or bomb else zipfile.ZIP_STORED
                archive.writestr(info, data, compresslevel=1)
    return target.getvalue()


def _members(content: bytes) -> Members:
    """Those of an archive; none of one that an earlier law left unreadable."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [(name, archive.read(name)) for name in archive.namelist()]
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError):
        return []


def _at(members: Members, random: Random, ends: tuple[str, ...] = ()) -> int:
    likely = [n for n, (name, _) in enumerate(members) if name.endswith(ends)] if ends else []
    return random.choice(likely or range(len(members)))


def member_json(members: Members, random: Random, trail: list[str]) -> Members:
    """The tree in a member that is JSON, changed; in one of torch.export also an expression or a target."""
    at = _at(members, random, (".json",))
    name, data = members[at]
    tree = trees.read(data)
    if tree is None:
        members[at] = name, damaged(data, random, trail)
    elif random.random() < 0.5 and _acted(tree, random, trail):
        members[at] = name, trees.written(tree)
    else:
        members[at] = name, trees.written(trees.changed(tree, random, trail))
    return members


def _acted(tree: Any, random: Random, trail: list[str]) -> bool:
    """Whether a node's target, an expression or an operand became something that might act."""
    places = [(holder, key) for holder, key in trees._places(tree)
              if key in _ACTING]  # fmt: skip
    if not places:
        return False
    holder, key = random.choice(places)
    value = random.choice(_TARGETS if key in ("target", "as_operator") else (*_EXPRESSIONS, *_TARGETS))
    trail.append(f"{key} = {value!r}"[:120])
    holder[key] = {"expr_str": value} if key == "as_int" and random.random() < 0.5 else value
    return True


def member_pickled(members: Members, random: Random, trail: list[str]) -> Members:
    """A pickle with code in place of a member that is a pickle."""
    at = _at(members, random, (".pkl", ".pt"))
    members[at] = members[at][0], pickled(random.randrange(6))
    return members


def member_added(members: Members, random: Random, trail: list[str]) -> Members:
    """A member that nobody asked for."""
    top = members[0][0].split("/")[0]
    name = random.choice(
        (f"{top}/data/aotinductor/model/evil.so", f"{top}/data/constants/evil", f"{top}/../../evil", "/tmp/evil",
         f"{top}/data.pkl", f"{top}/constants.pkl", f"{top}/code/__torch__.py", f"{top}/models/other.json",
         f"{top}/data/weights/weight_9", f"{top}/" + "a/" * 500 + "x", f"{top}/\x1b[31m\n::x", f"{top}/.data/version")
    )  # fmt: skip
    trail.append(name[:60])
    return [*members, (name, random.choice((b"", b"\x7fELF" + b"\0" * 60, pickled(0), b"x" * 1000)))]


def member_gone(members: Members, random: Random, trail: list[str]) -> Members:
    """One member fewer."""
    at = _at(members, random)
    trail.append(members[at][0][:60])
    return members[:at] + members[at + 1 :]


def member_damaged(members: Members, random: Random, trail: list[str]) -> Members:
    """A member with plain damage."""
    at = _at(members, random)
    name, data = members[at]
    trail.append(name[:60])
    members[at] = name, damaged(data, random, trail)
    return members


def member_bomb(members: Members, random: Random, trail: list[str]) -> Members:
    """A member of a gigabyte that takes a megabyte, in place of another."""
    at = _at(members, random)
    members[at] = members[at][0], b"\0" * _BOMB
    trail.append(members[at][0][:60])
    return members


def members_swapped(members: Members, random: Random, trail: list[str]) -> Members:
    """Two members with each other's content."""
    one, other = _at(members, random), _at(members, random)
    members[one], members[other] = (members[one][0], members[other][1]), (members[other][0], members[one][1])
    return members


_ZIP_LAWS: Final[tuple[Callable[[Members, Random, list[str]], Members], ...]] = (
    *[member_json] * 8, *[member_damaged] * 4, *[member_pickled] * 3, *[member_added] * 3, *[member_gone] * 2,
    members_swapped,
)  # fmt: skip
