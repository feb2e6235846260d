"""Mutates texts that are no JSON, and the writing of those that are: YAML, TOML, encodings, and plain damage."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tests.fuzzing.laws.values import NUMBERS, STRINGS
from tests.fuzzing.payloads import LINE, MODULE

Law = Callable[[bytes, Random], bytes]
_LAUGHS: Final = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
YAML: Final = (
    _LAUGHS, "x: &x [*x]\n", "x: &x {<<: *x}\n", f"x: !!python/object/apply:builtins.exec [{LINE!r}]\n",
    "x: !!python/object/apply:os.system ['touch FUZZ-MARKER']\n", f"x: !!python/module:{MODULE}\n",
    f"x: !!python/name:{MODULE}.X\n", "x: !!binary AAAA\n", "--- a\n--- b\n", "? [a, b]\n: c\n", "x: " + "[" * 5000,
    "x: " + "{a: " * 2000, "x: 1:2:3:4\n", "x: 0b1111\n", "x: 2001-13-45\n", "x: .nan\n", "x: .inf\n", "x: 1e400\n",
    "x: !!set {a, b}\n", "x: !!omap [a: b]\n", "\t- x\n", "%YAML 9.9\n---\na: b\n", "<<: {a: b}\n",
    "x: |\n" + " y\n" * 1000, "null: null\n", "1: 2\n1: 3\n", "x: " + "9" * 5000 + "\n", "- " * 3000 + "x\n",
)  # fmt: skip
TOML: Final = (
    "x = " + "[" * 5000, "[a]\n[a]\n", "x = 1\nx = 2\n", "x = 1979-99-99\n", "x = " + "9" * 5000 + "\n",
    "a." * 3000 + "b = 1\n",
    "[" + "a." * 3000 + "b]\n", 'x = "\\ud800"\n', "x = {a = {a = {}}}\n", "x = nan\n",
    "[tool.analyzer]\nsuppress = 1\n", '[tool.analyzer]\nsuppress = [{ code = "DT101" }]\n',
    '[tool.analyzer]\nsuppress = [{ code = "(a+)+$", module = "' + "*a" * 40 + '", reason = "x" }]\n',
    '[[tool.analyzer.suppress]]\ncode = ["DT101", 1]\nmodule = 3\nreason = "\\u202e"\n', "tool = 3\n",
    "[tool]\nanalyzer = []\n",
)  # fmt: skip


def truncated(data: bytes, random: Random) -> bytes:
    """The beginning."""
    return data[: random.randrange(len(data) + 1)]


def flipped(data: bytes, random: Random) -> bytes:
    """One to thirty bits turned."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5, 30)) if found else 0):
        found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    return bytes(found)


def inserted(data: bytes, random: Random) -> bytes:
    """Something odd in the middle."""
    at = random.randrange(len(data) + 1)
    text = str(random.choice((*STRINGS, *NUMBERS)))[:5000].encode("utf-8", "surrogatepass")
    return data[:at] + text + data[at:]


def repeated(data: bytes, random: Random) -> bytes:
    """A part of it many times."""
    start, end = sorted(random.randrange(len(data) + 1) for _ in "ab")
    return data[:start] + data[start : min(end, start + 200)] * random.choice((2, 3, 100, 5000)) + data[end:]


def encoded(data: bytes, random: Random) -> bytes:
    """In another encoding, or with its mark."""
    text = data.decode("utf-8", "replace")
    code = random.choice(("utf-16", "utf-32", "latin-1", "utf-8-sig", "utf-7", "cp037"))
    return text.encode(code, "replace")


def emptied(_: bytes, random: Random) -> bytes:
    """Nothing, or next to nothing."""
    return random.choice((b"", b" ", b"\n", b"\x00", b"\xff\xfe", b"null", b"[]", b"{}", b'""', b"0", b"\x80" * 100))


def doubled(data: bytes, _: Random) -> bytes:
    """Twice."""
    return data + data


def keys_doubled(data: bytes, random: Random) -> bytes:
    """JSON with keys twice in one object."""
    text = data.decode("utf-8", "replace")
    lines = [part for part in text.split(",") if ":" in part]
    return (text[:-1] + "," + random.choice(lines).strip("{}") + "}").encode() if lines else data


def in_yaml(data: bytes, random: Random) -> bytes:
    """With what YAML can say, before or after."""
    text = random.choice(YAML).encode()
    return text if random.random() < 0.3 else data + b"\n" + text


def in_toml(data: bytes, random: Random) -> bytes:
    """With what TOML can say."""
    text = random.choice(TOML).encode()
    return text if random.random() < 0.5 else data + b"\n" + text


PLAIN: Final[tuple[Law, ...]] = (truncated, flipped, inserted, repeated, encoded, emptied, doubled)
BY_SUFFIX: Final[dict[str, tuple[Law, ...]]] = {
    ".json": (*PLAIN, keys_doubled),
    ".yaml": (*PLAIN, in_yaml, in_yaml, in_yaml),
    ".toml": (*PLAIN, in_toml, in_toml, in_toml, in_toml),
}
