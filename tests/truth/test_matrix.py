"""A slice of the matrix: models of several families under set-ups that raise and set-ups that do not."""

from __future__ import annotations

import pytest

from tests.truth.__main__ import placed
from tests.truth.compare import compare
from tests.truth.matrix import describe, reason
from tests.truth.setups import SETUPS
from tests.truth.zoo import ZOO

MODELS = [
    name
    for name in ZOO
    if name.startswith(("Qwen2ForCausalLM", "GPT2LM", "Albert", "Bart", "ViTFor", "Llava", "Olmoe", "Mamba2", "Detr"))
]


@pytest.mark.parametrize("name", MODELS)
def test_a_trace_says_what_the_real_run_does(name: str) -> None:
    results = [compare(ZOO[name], setup) for setup in list(SETUPS.values())[::3]]
    assert sum(r.ops for r in results) > 100
    assert [describe(r) for r in results if not r.agrees and not reason(r)] == []


def test_a_part_takes_the_place_of_its_old_one_and_newer_torch_comes_first() -> None:
    page = placed(placed("# Head\n", "## torch 2.6.0: models\n\nold\n"), "## torch 2.13.0: models\n\nnew\n")
    page = placed(page, "## torch 2.6.0: models\n\nnewer\n")
    assert page == "# Head\n\n## torch 2.13.0: models\n\nnew\n\n## torch 2.6.0: models\n\nnewer\n"
