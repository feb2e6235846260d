"""A checkpoint that contradicts the model or itself: what is said is what the real from_pretrained does with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from analyzer.actions.fix import run_fix
from analyzer.actions.trace import run_trace
from analyzer.ir.findings import Finding
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.loaders.request import ModelRequest
from tests.loaders.test_checkpoint import MOE, SMALL
from tests.versions import five

CPU = Plan(device="cpu")


def _saved(folder: Path, family: str = "Llama", extra: Any = None, **how: Any) -> Path:
    torch.manual_seed(0)
    config = getattr(hf, f"{family}Config")(**{**SMALL, **(extra or {})})
    getattr(hf, f"{family}ForCausalLM")(config).bfloat16().save_pretrained(folder, **how)
    return folder


def _reshape(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors |= {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _errors(folder: Path) -> list[Finding]:
    return [finding for finding in run_trace(ModelRequest(folder, CPU)).findings if finding.severity == "error"]


@pytest.mark.parametrize(
    "shapes",
    [{"lm_head.weight": (30, 16)}, {"model.norm.weight": (1, 16), "model.embed_tokens.weight": (32, 8)}, {}],
    ids=len,
)
def test_a_stored_shape_that_is_not_the_models_is_an_error_where_loading_raises(
    shapes: dict[str, tuple[int, ...]], tmp_path: Path
) -> None:
    folder = _saved(tmp_path / "m")
    _reshape(folder, shapes)
    if not shapes:
        hf.LlamaForCausalLM.from_pretrained(folder)
        assert _errors(folder) == []
        return
    with pytest.raises(RuntimeError, match=r"size mismatch|ignore_mismatched_sizes"):
        hf.LlamaForCausalLM.from_pretrained(folder)
    (found,) = _errors(folder)
    assert (found.code, set(found.tensors)) == ("DT404", set(shapes))
    assert str(list(shapes[found.tensors[0]])) in found.message
    errors, trials, _ = run_fix(ModelRequest(folder), [CPU])
    assert errors == 1
    assert [trial.verdict().split(": ")[0] for trial in trials] == ["no proposal"]


@five
@pytest.mark.parametrize(
    ("family", "extra"),
    [
        ("Mixtral", MOE),
        ("Qwen2Moe", {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}),
        ("GptOss", {"num_local_experts": 2, "num_experts_per_tok": 1, "head_dim": 8}),
        ("GPTNeoX", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_loading_fuses_splits_or_turns_is_no_contradiction(family: str, extra: Any, tmp_path: Path) -> None:
    folder = _saved(tmp_path, family, extra)
    _, info = getattr(hf, f"{family}ForCausalLM").from_pretrained(folder, output_loading_info=True)
    assert not info["mismatched_keys"]
    inventory = load(folder, CPU).inventory
    assert inventory.has_checkpoint
    assert dict(inventory.other_shapes) == {}


@pytest.mark.parametrize("factor", [1, 2])
def test_an_index_that_is_wrong_about_its_size_is_a_remark_as_loading_does_not_look(
    factor: int, tmp_path: Path
) -> None:
    folder = _saved(tmp_path, max_shard_size="2KB")
    index = folder / "model.safetensors.index.json"
    told = json.loads(index.read_text())
    size = told["metadata"]["total_size"]
    told["metadata"]["total_size"] = size * factor
    index.write_text(json.dumps(told))
    hf.LlamaForCausalLM.from_pretrained(folder)
    remarks = [one for one in load(folder, CPU).assumptions if one.file == index.name]
    assert [one.value for one in remarks] == (
        [] if factor == 1 else [f"metadata.total_size is {2 * size:,} bytes, but its tensors have {size:,}"]
    )
    assert _errors(folder) == []


@pytest.mark.parametrize("how", [{}, {"max_shard_size": "2KB"}], ids=["whole", "shards"])
def test_a_variant_is_read_where_no_plain_file_is(how: dict[str, Any], tmp_path: Path) -> None:
    folder = _saved(tmp_path, variant="fp16", **how)
    with pytest.raises(OSError, match="no file named"):
        hf.LlamaForCausalLM.from_pretrained(folder)
    model = hf.LlamaForCausalLM.from_pretrained(folder, variant="fp16")
    loaded = load(folder, CPU)
    assert {held.name for held in loaded.inventory.tensors if held.saved == "bfloat16"} == {
        name for name, _ in model.named_parameters()
    }
    assert [one.value for one in loaded.assumptions if "variant" in one.what] == ["loaded by variant='fp16' alone"]
    _saved(tmp_path)
    assert not [one for one in load(folder, CPU).assumptions if "variant" in one.what]  # the plain file goes before
