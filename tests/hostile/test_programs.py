"""A saved program runs nothing without trust: every way in is tried, first with torch alone, where it works."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders.exported.operators import check_operator, registered
from analyzer.loaders.exported.program_text import checked_json
from analyzer.loaders.exported.refused import Refused
from analyzer.loaders.request import ModelRequest
from tests.hostile.programs import EXPLOITS, REAL, edited, saved

NEW = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 9)
pytestmark = pytest.mark.skipif(not NEW, reason="the archives are edited in the form of torch 2.9 and later")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return saved(tmp_path_factory.mktemp("program") / "small.pt2").read_bytes()


def _planted(name: str, program: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "leaves_a_mark", raising=False)
    file = folder / "small.pt2"
    file.write_bytes(program)
    return edited(file, EXPLOITS[name](folder / "marker"))


@pytest.mark.parametrize("name", EXPLOITS)
def test_nothing_runs_without_trust(name: str, program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _planted(name, program, tmp_path, monkeypatch)
    if name == "guards":  # which are left out
        assert run_trace(ModelRequest(file, Plan())).coverage.incomplete == ""
    else:
        with pytest.raises(AnalyzerError) as refused:
            run_trace(ModelRequest(file, Plan()))
        assert len(str(refused.value)) < 300 + len(str(file))
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_way_in_is_real(name: str, program: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _planted(name, program, tmp_path, monkeypatch)
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    with suppress(Exception):
        torch.export.load(file).module()(torch.ones(3, 4))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("name", [
    "_sparse_csr_tensor_unsafe.default", "_coalesce.default", "_reshape_alias.default", "set_.source_Tensor",
    "resize_.default", "_nested_view_from_buffer.default", "from_file.default",
])  # fmt: skip
def test_operators_that_check_little_need_trust(name: str) -> None:
    with pytest.raises(Refused, match="a call of"):
        check_operator(f"torch.ops.aten.{name}", registered())


@pytest.mark.parametrize("name", ["linear.default", "_to_copy.default", "_softmax.default", "__and__.Tensor"])
def test_operators_that_exports_hold_need_none(name: str) -> None:
    check_operator(f"torch.ops.aten.{name}", registered())


@pytest.mark.parametrize("name", ["dtype", "layout", "memory_format"])
def test_a_number_is_no_dtype(name: str) -> None:
    """A kernel takes any number for one, and crashes."""
    with pytest.raises(Refused, match=f"a number for {name}"):
        checked_json(b'{"inputs": [{"name": "%s", "arg": {"as_int": 46}, "kind": 1}]}' % name.encode())
