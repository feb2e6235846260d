"""Data of somebody else are plain, or are refused in one line that says where and what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import AnalyzerError
from analyzer.foreign import parse_json, parse_toml, parse_yaml
from analyzer.foreign.data import DEEPEST

FILE = Path("a/config.json")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_data_are_read_as_json_reads_them(data: object) -> None:
    assert parse_json(json.dumps(data), FILE) == data


@pytest.mark.parametrize(("text", "words"), [
    ("[" * 100_000, "nested more than"),
    ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"nested more than {DEEPEST} levels deep"),
    ('{"a":' * 70 + "1" + "}" * 70, "nested more than"),
    ("1" * 5000, "cannot be read"),
    ("[1" + "0" * 60 + "]", "more than 40 digits"),
    ('{"a": "' + "x" * ((1 << 20) + 1) + '"}', "a text of 1,048,577 characters"),
    (r'["\ud800"]', "lone surrogate"),
    (r'{"\udfff": 1}', "lone surrogate"),
    ("{\n", "a/config.json:2: broken JSON"),
    ("\ufeff{}", "broken JSON"),
])  # fmt: skip
def test_what_is_not_plain_is_refused(text: str, words: str) -> None:
    with pytest.raises(AnalyzerError) as refused:
        parse_json(text, FILE)
    assert words in str(refused.value) and "a/config.json" in str(refused.value) and len(str(refused.value)) < 300


def test_ordinary_odd_values_are_read() -> None:
    text = '{"model_max_length": 1000000000000000019884624838656, "x": NaN, "x": -Infinity}'
    assert parse_json(text, FILE) == {"model_max_length": int(1e30), "x": float("-inf")}


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(AnalyzerError, match="cannot be read"):
        parse_json(b"\xff\xfe\xfa", FILE)


WORDS = st.text("abc xyz.:-#'{}[]&*!|>%@", max_size=10)


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | WORDS,
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner), max_leaves=20,
))  # fmt: skip
def test_yaml_reads_json_of_plain_data(data: object) -> None:
    assert parse_yaml(json.dumps(data), FILE) == data


LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
)


@pytest.mark.parametrize(("text", "words"), [
    (LAUGHS, "a/config.json:2: broken YAML: an alias"),
    ("a: &a {b: 1}\nc:\n  <<: *a\n", "a/config.json:3: broken YAML: an alias"),
    ("[" * 5000, "cannot be read"),
    ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
    ("a: 2020-99-99", "cannot be read"),
    ("a: !!int x", "cannot be read"),
    ("a: " + "x" * (1 << 20), "too large"),
    ("a: 1" + "0" * 60, "more than 40 digits"),
])  # fmt: skip
def test_yaml_that_is_refused(text: str, words: str) -> None:
    with pytest.raises(AnalyzerError) as refused:
        parse_yaml(text, FILE)
    assert words in str(refused.value)


def test_an_anchor_alone_is_read() -> None:
    assert parse_yaml("a: &a 1\n", FILE) == {"a": 1}


@pytest.mark.parametrize(("text", "words"), [
    ("a" + ".a" * 40_000 + " = 1", "a key of more than"),
    ("[" + "'a' . " * 40_000 + "a]", "a key of more than"),
    ("x = {'a b'" + ".'a b'" * 40_000 + " = 1}", "a key of more than"),
    ('"' * 100_001, "cannot be read"),
    ("." + " " * 500_000 + "!", "cannot be read"),
    ("a = " + "[" * 5000, "cannot be read"),
    ("a = 1" + "0" * 60, "more than 40 digits"),
    ("a = '" + "x" * (1 << 20) + "'", "too large"),
    ("a", "cannot be read"),
])  # fmt: skip
def test_toml_that_is_refused_at_once(text: str, words: str) -> None:
    with pytest.raises(AnalyzerError) as refused:
        parse_toml(text, FILE)
    assert words in str(refused.value)


def test_toml_is_read() -> None:
    assert parse_toml("[tool.analyzer]\nx = ['a.b.c']\n", FILE) == {"tool": {"analyzer": {"x": ["a.b.c"]}}}
    assert parse_toml('a = "' + "b." * 200 + '"', FILE) == {"a": "b." * 200}


def test_a_pointer_of_git_lfs_is_told() -> None:
    with pytest.raises(AnalyzerError, match="is a git-lfs pointer"):
        parse_json(b"version https://git-lfs.github.com/spec/v1\noid sha256:x\nsize 1\n", FILE)
