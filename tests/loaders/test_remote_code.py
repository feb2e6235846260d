"""Models that come with their own code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from tests.loaders.remote import change, five
from tests.versions import asked


def fails(folder: Path) -> str:
    with pytest.raises(AnalyzerError) as caught:
        load(folder, Plan(), trust_remote_code=True)
    return str(caught.value)


def test_constructed_dtypes_stay_with_place_and_reason(own: Path) -> None:
    loaded = load(own, Plan(), trust_remote_code=True)
    tensors = {**dict(loaded.module.named_parameters()), **dict(loaded.module.named_buffers())}
    got = {name: tensor.dtype for name, tensor in tensors.items()}
    assert got == {
        "embed.weight": torch.bfloat16, "proj.weight": torch.bfloat16, "proj.bias": torch.bfloat16,
        "parts.pos": torch.float32, "parts.made": torch.float32, "parts.scale": torch.float32,
        "parts.index": torch.int64,
    }  # fmt: skip
    assert tensors["parts.pos"].is_meta
    assert str(loaded.places["parts.made"]) == "parts.py:9"
    assert str(loaded.places["proj.weight"]) == "modeling_own.py:14"
    assert loaded.reasons["parts.pos"].text == (
        "built in float32 by its constructor; from_pretrained(dtype=bfloat16) copies into it and keeps float32"
    )
    assert loaded.reasons["embed.weight"].text == "default dtype of from_pretrained(dtype=bfloat16)"
    assert not list(own.rglob("__pycache__"))


def test_the_same_file_names_in_two_folders_do_not_mix(own: Path, tmp_path: Path) -> None:
    import shutil

    load(own, Plan(), trust_remote_code=True)
    other = Path(shutil.copytree(own, tmp_path / "other" / own.name))
    change(other / "parts.py", "torch.ones(width).float()", "torch.ones(width)")
    loaded = load(other, Plan(), trust_remote_code=True)
    assert loaded.module.get_parameter("parts.made").dtype == torch.bfloat16


def test_not_without_trust(own: Path) -> None:
    with pytest.raises(AnalyzerError, match="--trust-remote-code"):
        load(own, Plan())


def test_code_in_another_repository_is_never_fetched(own: Path) -> None:
    change(own / "config.json", "modeling_own.OwnModel", "someone/thing--modeling_other.OwnModel")
    said = fails(own)
    assert "another repository, someone/thing, which is not in the Hugging Face cache" in said
    assert "download someone/thing" in said


def test_a_package_that_is_missing_is_named(own: Path) -> None:
    change(own / "parts.py", "import numpy as np\n", "import numpy as np\nimport no_such_thing.part\n")
    message = fails(own)
    assert "parts.py:3 needs the package no_such_thing" in message and "pip install no_such_thing" in message


def test_a_file_that_is_missing_is_named(own: Path) -> None:
    (own / "parts.py").unlink()
    assert "imports parts.py, which is missing" in fails(own)


def test_code_that_raises_is_shown_with_its_line(own: Path) -> None:
    change(own / "parts.py", "super().__init__()", "super().__init__(); 1 / 0")
    assert "parts.py:7: ZeroDivisionError: division by zero, while building OwnModel" in fails(own)


def test_code_that_does_not_parse(own: Path) -> None:
    change(own / "parts.py", "import torch\n", "import torch (\n")
    assert "parts.py:3: SyntaxError" in fails(own)


def test_code_for_another_transformers(own: Path) -> None:
    change(own / "modeling_own.py", "import PreTrainedModel", "import PreTrainedModel, NoSuchThing")
    assert f"transformers {transformers.__version__} has no transformers.NoSuchThing" in fails(own)


def test_a_class_that_is_not_there(own: Path) -> None:
    change(own / "config.json", "modeling_own.OwnModel", "modeling_own.Missing")
    assert "has no Missing" in fails(own)


def test_remote_code_is_as_the_real_from_pretrained_leaves_it(own: Path) -> None:
    cls = type(load(own, Plan(), trust_remote_code=True).module)
    cls(cls.config_class.from_pretrained(own)).to(torch.bfloat16).save_pretrained(own / "saved")
    (own / "saved" / "model.safetensors").rename(own / "model.safetensors")
    for dtype in ("bfloat16", "float16", "float32"):
        real, ours = (
            cls.from_pretrained(own, **asked(dtype)),
            load(own, Plan(dtype=dtype), trust_remote_code=True).module,
        )
        for kind in ("named_parameters", "named_buffers"):
            assert {n: t.dtype for n, t in getattr(ours, kind)()} == {n: t.dtype for n, t in getattr(real, kind)()}


_SWALLOWED = {
    "a parameter of its own": ("width=4,", "width=4, dtype=None,"),
    "under the old name": ("width=4,", "width=4, torch_dtype=None,"),
    "keywords that go nowhere": ("super().__init__(**kwargs)", "super().__init__()"),
    "taken out": ("super().__init__", "kwargs.pop('dtype', kwargs.pop('torch_dtype', None)); super().__init__"),
}


@pytest.mark.parametrize("how", _SWALLOWED)
@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
@five
def test_a_dtype_that_the_config_class_drops_is_that_of_the_weights_all_the_same(how: str, key: str, own: Path) -> None:
    change(own / "config.json", '"dtype"', f'"{key}"')
    change(own / "configuration_own.py", *_SWALLOWED[how])
    loaded = load(own, Plan(), trust_remote_code=True)
    cls, name = type(loaded.module), f"{type(loaded.module.config).__name__} drops the dtype in config.json"
    dropped = cls.config_class.from_pretrained(own).dtype is None
    told = [(a.value, a.where) for a in loaded.assumptions if a.what == name]
    assert told == [("bfloat16", "config.json")] * dropped
    assert loaded.inventory.declared == "bfloat16"
    cls(cls.config_class.from_pretrained(own)).to(torch.bfloat16).save_pretrained(own / "saved")
    (own / "saved" / "model.safetensors").rename(own / "model.safetensors")
    real = cls.from_pretrained(own)
    for ours in (loaded.module, load(own, Plan(), trust_remote_code=True).module):
        assert {n: p.dtype for n, p in ours.named_parameters()} == {n: p.dtype for n, p in real.named_parameters()}


def test_paths_with_dots_still_show_files_relative_to_the_folder(own: Path) -> None:
    loaded = load(own / ".." / own.name, Plan(), trust_remote_code=True)
    assert loaded.places["parts.made"].file == "parts.py"


@pytest.mark.parametrize("name", ["minicpm_v_2", "minicpm_v_2_fixed"])
def test_the_sample(name: str) -> None:
    loaded = load(Path(__file__).parents[2] / "samples" / name, Plan(), trust_remote_code=True)
    wide = [name for name, p in loaded.module.named_parameters() if p.dtype != torch.bfloat16]
    assert wide == ["resampler.pos_embed"]
    assert loaded.places["resampler.pos_embed"].file == "resampler.py"
    assert "data" in loaded.inputs


def test_transformers_own_class_stands_for_code_that_is_not_there(own: Path) -> None:
    for file in own.glob("*.py"):
        file.unlink()
    with pytest.raises(AnalyzerError, match=r"modeling_own\.py is missing"):
        load(own, Plan())
    change(own / "config.json", '"model_type": "own"', '"model_type": "gpt2", "n_layer": 1')
    change(own / "config.json", '"AutoModel":', '"AutoModelForCausalLM":')
    loaded = load(own, Plan())
    assert loaded.name == "GPT2LMHeadModel"
    assert [note.value for note in loaded.assumptions if "auto_map" in note.what] == [
        "not run; transformers' own GPT2LMHeadModel"
    ]


def test_code_that_is_there_is_not_passed_over_for_a_known_type(own: Path) -> None:
    change(own / "config.json", '"model_type": "own"', '"model_type": "gpt2"')
    with pytest.raises(AnalyzerError, match="--trust-remote-code"):
        load(own, Plan())
