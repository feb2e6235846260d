"""What is read of a checkpoint is what the real loading finds there, and a checkpoint that lies is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import SafetensorError, safe_open

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.loaders.files.checkpoint_headers import read_headers

SMALL: Any = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 32,
    "num_key_value_heads": 2, "max_position_embeddings": 32,
}  # fmt: skip
MOE: Any = {"num_local_experts": 2, "num_experts_per_tok": 1}
CASES = [
    ("Llama", "LlamaForCausalLM", "LlamaForCausalLM", {}),
    ("Llama", "LlamaModel", "LlamaForCausalLM", {}),
    ("Llama", "LlamaForCausalLM", "LlamaModel", {}),
    ("Llama", "LlamaForCausalLM", "LlamaForCausalLM", {"tie_word_embeddings": True}),
    ("Bert", "BertModel", "BertForSequenceClassification", {}),
    ("Mixtral", "MixtralForCausalLM", "MixtralForCausalLM", MOE),
]


@pytest.mark.parametrize(
    ("family", "saved", "loaded", "extra"), CASES, ids=[f"{c[1]}-{c[2]}-{len(c[3])}" for c in CASES]
)
def test_missing_and_unused_are_those_of_from_pretrained(
    family: str, saved: str, loaded: str, extra: Any, tmp_path: Path
) -> None:
    config = getattr(transformers, f"{family}Config")(**SMALL, **extra)
    getattr(transformers, saved)(config).bfloat16().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text()) | {"architectures": [loaded]}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    _, info = getattr(transformers, loaded).from_pretrained(tmp_path, output_loading_info=True)
    inventory = load(tmp_path, Plan()).inventory
    assert inventory.has_checkpoint
    assert {t.name for t in inventory.tensors if t.persistent and not t.saved} == set(info["missing_keys"])
    assert set(inventory.unused) == set(info["unexpected_keys"])
    assert {t.saved for t in inventory.tensors if t.saved} == {"bfloat16"}


def _write(file: Path, header: Any, data: int) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))


def _one(begin: int, end: int, dtype: str = "F32") -> Any:
    return {"dtype": dtype, "shape": [2], "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        ({"a": _one(0, 8), "b": _one(4, 12)}, 12, "b leave a hole or overlap"),
        ({"a": _one(0, 8), "b": _one(12, 20)}, 20, "b leave a hole or overlap"),
        ({"a": _one(0, 8)}, 4, "8 bytes of data, the file has 4"),
        ({"a": _one(0, 8)}, 12, "8 bytes of data, the file has 12"),
        ({"a": _one(0, 8, "F16")}, 8, r"a has 8 bytes, not F16\[2\]"),
    ],
)
def test_a_header_that_lies_is_refused_as_safetensors_does(header: Any, data: int, words: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    _write(file, header, data)
    with pytest.raises(SafetensorError):
        safe_open(file, framework="pt").__enter__()
    with pytest.raises(AnalyzerError, match=words):
        read_headers(tmp_path)


def test_an_index_is_checked_against_its_shards(tmp_path: Path) -> None:
    _write(tmp_path / "a.safetensors", {"a": _one(0, 8)}, 8)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "a.safetensors", "b": "a.safetensors"}}')
    with pytest.raises(AnalyzerError, match="lacks b, which model"):
        read_headers(tmp_path)
    index.write_text('{"weight_map": {"a": "a.safetensors", "a": "b.safetensors"}}')
    with pytest.raises(AnalyzerError, match="a stands there twice"):
        read_headers(tmp_path)
    index.write_text('{"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}')
    assert not read_headers(tmp_path).complete
    (tmp_path / "b.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert list(read_headers(tmp_path).tensors) == ["a"]
    index.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    read = read_headers(tmp_path)
    assert not read.complete and "git-lfs pointer" in read.remarks[0].what


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_checkpoint_is_read_and_runs_nothing(zipped: bool, tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    torch.save({"w": torch.ones(2, 3).half()}, file, _use_new_zipfile_serialization=zipped)
    (one,) = read_headers(tmp_path).tensors.values()
    assert (one.dtype, one.shape, one.shard) == ("float16", (2, 3), "pytorch_model.bin")
    torch.save({"w": _Evil(tmp_path / "ran")}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(AnalyzerError, match="refused: it holds more than tensors"):
        read_headers(tmp_path)
    assert not (tmp_path / "ran").exists()
    file.write_bytes(pickle.dumps([1])[:-2])
    with pytest.raises(AnalyzerError):
        read_headers(tmp_path)


class _Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)
