"""What is said of values is what a cast of real numbers does to them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from analyzer.ir.dtypes import short
from analyzer.ir.fixes.effects import Effect, holds, values
from analyzer.ir.plan import Plan
from tests.fixes.folders import Own, trials

_FLOATS = ("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
_WHOLE = ("bool", "int8", "uint8", "int16", "int32", "int64")


def _every(dtype: str) -> torch.Tensor:
    """Numbers of a dtype: all that have eight or sixteen bits, else its limits and neighbours of powers of two."""
    of = getattr(torch, dtype)
    if dtype == "bool":
        return torch.tensor([False, True])
    if of.itemsize <= 2:
        bits = torch.arange(1 << (8 * of.itemsize), dtype=torch.int64)
        made = bits.to(torch.int8 if of.itemsize == 1 else torch.int16).view(of)
        return made[torch.isfinite(made.double())]
    if of.is_floating_point:
        finfo = torch.finfo(of)
        powers = 2.0 ** torch.arange(-60, 60, dtype=torch.float64)
        return torch.cat([powers * (1 + finfo.eps), torch.tensor([finfo.max, finfo.tiny], dtype=torch.float64)]).to(of)
    powers = 2 ** torch.arange(0, 8 * of.itemsize - 1, dtype=torch.int64)
    return torch.cat([powers, powers - 1, -powers]).to(of)


@pytest.mark.parametrize("narrow", [*_FLOATS, *_WHOLE])
@pytest.mark.parametrize("wide", [*_FLOATS, *_WHOLE])
def test_a_dtype_holds_another_if_a_cast_there_and_back_changes_no_number(wide: str, narrow: str) -> None:
    numbers = _every(narrow)
    back = numbers.to(getattr(torch, wide)).to(getattr(torch, narrow))
    there = numbers.to(getattr(torch, wide))
    same = bool((back.double() == numbers.double()).all() and (there.double() == numbers.double()).all())
    same = same and (numbers.is_floating_point() or torch.equal(back, numbers))
    assert holds(wide, narrow) == same


@pytest.mark.parametrize(
    ("effects", "words"),
    [
        ((), "no value is rounded"),
        (
            (Effect("cast", "float32", "float16", 2),),
            "values: f32 rounded to f16 (11 bits, beyond 65504 infinite): 2 results",
        ),
        ((Effect("input", "float64", "float32", name="x"),), "values: f64 rounded to f32 (24 bits): x"),
        ((Effect("computed", "float32", "bfloat16"),), "values: 1 operation in bf16, was f32"),
        ((Effect("number", "-1e+09", "-6.55e+04"),), "values: -1e+09 becomes -6.55e+04"),
        ((Effect("stored", "int64", "float32", 3),), "values: i64 rounded to f32 (24 bits): 3 stored tensors"),
        ((Effect("stored", "complex128", "complex64"),), "values: c128 rounded to c64 (24 bits): a stored tensor"),
        ((Effect("stored", "bfloat16", "float32"), Effect("cast", "float16", "float32")),
         "no value is rounded: exact widening bf16 to f32, f16 to f32"),
    ],
)  # fmt: skip
def test_the_words(effects: tuple[Effect, ...], words: str) -> None:
    assert values(effects) == words


def test_what_a_fix_rounds_is_what_a_real_cast_rounds(tmp_path: Path) -> None:
    model = Own(
        init="self.table = nn.Parameter(torch.linspace(0, 1, 8, dtype=torch.float32)); self.fc = nn.Linear(8, 8)",
        forward="return self.fc(x + self.table)",
    ).write(tmp_path)
    tried = {one.proposal.what: one for one in trials(model, Plan(device="cpu", dtype="bfloat16")) if one.clears}
    stored = next(one for one in tried.values() if one.proposal.cast == {"table": "bfloat16"})
    assert stored.values.startswith("values: f32 rounded to bf16 (8 bits): table")
    assert not torch.equal(torch.linspace(0, 1, 8).bfloat16().float(), torch.linspace(0, 1, 8))
    wide = next(one for one in tried.values() if one.proposal.cast == {"fc": "float32"})
    assert wide.values == "no value is rounded: exact widening bf16 to f32"
    assert {short(effect.new) for effect in wide.effects} == {"f32"}
