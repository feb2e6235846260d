"""Models that a model's code loads by name: built from a config, in the dtype that the real call gives."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from tests.hub_caches import cache, store, store_folder
from tests.loaders.remote import Code, change
from tests.versions import FIVE, asked

IMPORTS = """
from transformers import AutoConfig, AutoModel, CLIPVisionModel
import huggingface_hub
from huggingface_hub import hf_hub_download
"""
NAME = "from transformers import CLIPVisionModel"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that this process reads, as one does whose libraries were imported with the variables set."""
    hub = cache(tmp_path / "home", monkeypatch)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))
    if hasattr(transformers.utils.hub, "TRANSFORMERS_CACHE"):
        monkeypatch.setattr(transformers.utils.hub, "TRANSFORMERS_CACHE", str(hub))
    return hub


@pytest.fixture(scope="session")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real vision tower, saved in float16."""
    folder = tmp_path_factory.mktemp("tower")
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8
    )
    transformers.CLIPVisionModel(config).to(torch.float16).save_pretrained(folder)
    return folder


def _edited(tower: Path, place: Path, **changes: object) -> Path:
    """The tower with another config."""
    import shutil

    shutil.copytree(tower, place)
    file = place / "config.json"
    settings = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))
    return place


def _dtypes(module: Any) -> dict[str, torch.dtype]:
    return {name: p.dtype for name, p in module.named_parameters() if name.startswith("tower.")}


_CALLS = {
    "none": "", "auto": ', {key}="auto"', "a dtype": ", {key}=torch.float16", "its name": ', {key}="bfloat16"',
    "the old keyword": ", torch_dtype=torch.float16", "a dict": ', {key}={{"": torch.float16}}',
    "with others": ', {key}="auto", low_cpu_mem_usage=True, use_safetensors=True, attn_implementation="eager"',
}  # fmt: skip


@pytest.mark.parametrize("says", ["float16", None])
@pytest.mark.parametrize("call", _CALLS)
def test_the_dtype_is_that_of_the_real_call(call: str, says: str | None, tower: Path, tmp_path: Path) -> None:
    place = _edited(tower, tmp_path / "tower", dtype=says, torch_dtype=None if says is None or FIVE else says)
    key = next(iter(asked(None)))
    if call == "a dict" and not FIVE and key == "torch_dtype":
        pytest.skip("this transformers knows no dict of dtypes")
    words = f'CLIPVisionModel.from_pretrained("{place.as_posix()}"{_CALLS[call].format(key=key)})'
    root = Code(imports=NAME, init=f"self.tower = {words}").write(tmp_path)
    ours = load(root, Plan(), trust_remote_code=True)
    cls = type(ours.module)
    if FIVE:  # the real one refuses it inside of another: what it gives alone is what is promised
        real = cls(cls.config_class.from_pretrained(root))
        assert any("refuses it there" in one.value for one in ours.assumptions)
    else:
        cls(cls.config_class.from_pretrained(root)).to(torch.bfloat16).save_pretrained(root / "saved")
        (root / "saved" / "model.safetensors").rename(root / "model.safetensors")
        real = cls.from_pretrained(root, **asked("bfloat16"))
        ours = load(root, Plan(), trust_remote_code=True)  # with the checkpoint that the real one has loaded
        assert not any("refuses" in one.value for one in ours.assumptions)
    assert _dtypes(ours.module) == _dtypes(real) and _dtypes(real)
    assert all(p.is_meta for p in ours.module.parameters())


@pytest.mark.skipif(not FIVE, reason="transformers 4 builds on another way")
def test_the_real_one_refuses_it_where_the_note_says_so(tower: Path, tmp_path: Path) -> None:
    root = Code(imports=NAME, init=f'self.tower = CLIPVisionModel.from_pretrained("{tower.as_posix()}")').write(
        tmp_path
    )
    cls = type(load(root, Plan(), trust_remote_code=True).module)
    cls(cls.config_class.from_pretrained(root)).save_pretrained(root / "saved")
    (root / "saved" / "model.safetensors").rename(root / "model.safetensors")
    with pytest.raises(RuntimeError, match="meta device context"):
        cls.from_pretrained(root)


def test_in_a_python_file_the_note_is_of_the_config_alone(tower: Path, tmp_path: Path) -> None:
    file = tmp_path / "made.py"
    file.write_text(
        "import torch\nfrom transformers import AutoModel\ndef build():\n"
        f"    return AutoModel.from_pretrained('{tower.as_posix()}'), {{'pixel_values': torch.ones(1, 3, 16, 16)}}\n"
    )
    loaded = load(file, Plan())
    real = transformers.AutoModel.from_pretrained(tower)
    assert {n: p.dtype for n, p in loaded.module.named_parameters()} == {n: p.dtype for n, p in real.named_parameters()}


_WAYS = {
    "from_pretrained": 'CLIPVisionModel.from_pretrained("org/tower")',
    "auto": 'AutoModel.from_pretrained("org/tower", trust_remote_code=True)',
    "from_config": 'AutoModel.from_config(AutoConfig.from_pretrained("org/tower"))',
    "its own config": 'CLIPVisionModel(CLIPVisionModel.config_class.from_pretrained("org/tower"))',
    "a revision": 'CLIPVisionModel.from_pretrained("org/tower", revision="' + "a" * 40 + '")',
    "with info": 'CLIPVisionModel.from_pretrained("org/tower", output_loading_info=True)[0]',
    "a download": 'CLIPVisionModel.from_pretrained(huggingface_hub.snapshot_download("org/tower"))',
    "a file": 'CLIPVisionModel(AutoConfig.from_pretrained(hf_hub_download("org/tower", "config.json")))',
}  # fmt: skip


@pytest.mark.parametrize("way", _WAYS)
def test_the_cache_answers_every_way_to_ask(way: str, tower: Path, hub: Path, tmp_path: Path) -> None:
    store_folder(hub, "org/tower", tower, ".json")
    root = Code(imports=IMPORTS, init=f"self.tower = {_WAYS[way]}").write(tmp_path)
    loaded = load(root, Plan(), trust_remote_code=True)
    assert loaded.module.get_submodule("tower").config.hidden_size == 16
    assert next(loaded.module.get_submodule("tower").parameters()).is_meta


@pytest.mark.parametrize("way", [way for way in _WAYS if way != "a revision"])
def test_what_is_missing_is_named_with_its_line_and_the_command(way: str, hub: Path, tmp_path: Path) -> None:
    root = Code(imports=IMPORTS, init=f"self.tower = {_WAYS[way]}").write(tmp_path)
    with pytest.raises(AnalyzerError) as caught:
        load(root, Plan(), trust_remote_code=True)
    said = str(caught.value)
    assert "the code loads org/tower, which is not in the Hugging Face cache" in said, said
    assert "modeling_own.py:" in said and "download org/tower '*.json' '*.py'" in said and "as tower" in said


def test_what_a_config_class_loads_is_named_not_the_model_itself(hub: Path, tmp_path: Path) -> None:
    root = Code().write(tmp_path)
    asks = "import transformers; transformers.AutoConfig.from_pretrained('org/tower')\n        self.width"
    change(root / "configuration_own.py", "self.width", asks)
    with pytest.raises(AnalyzerError, match=r"configuration_own.py:\d+: the code loads org/tower, which is not in"):
        load(root, Plan(), trust_remote_code=True)


def test_weights_that_the_code_reads_itself_are_named(hub: Path, tmp_path: Path) -> None:
    store(hub, "org/tower", {"config.json": "{}"})
    root = Code(imports=IMPORTS, init='torch.load(huggingface_hub.hf_hub_download("org/tower", "w.pth"))').write(
        tmp_path
    )
    with pytest.raises(AnalyzerError, match=r"reads weights w\.pth of org/tower, which is not opened"):
        load(root, Plan(), trust_remote_code=True)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("vocab.json", r"reads vocab\.json of org/tower, which the .* cache lacks .*download org/tower .vocab\.json."),
        ("mel.npz", r"reads mel\.npz of org/tower, which is not opened \(put mel\.npz into the model's folder\)"),
    ],
)
def test_a_file_that_the_cache_lacks_is_named(file: str, words: str, hub: Path, tmp_path: Path) -> None:
    store(hub, "org/tower", {"config.json": "{}"})
    root = Code(imports=IMPORTS, init=f'hf_hub_download("org/tower", "{file}")').write(tmp_path)
    with pytest.raises(AnalyzerError, match=words):
        load(root, Plan(), trust_remote_code=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('load("facebookresearch/dino:main", "vits16")', "loads facebookresearch/dino:main from GitHub"),
        ('load_state_dict_from_url("https://x.org/w.pth")', r"fetches https://x\.org/w\.pth by torch\.hub"),
    ],
)
def test_what_torch_hub_would_fetch_is_named(call: str, words: str, tmp_path: Path) -> None:
    root = Code(init=f"self.tower = torch.hub.{call}").write(tmp_path)
    with pytest.raises(AnalyzerError, match=words):
        load(root, Plan(), trust_remote_code=True)


def test_code_of_another_cached_repository_is_run(own: Path, hub: Path) -> None:
    files = {file.name: file.read_text() for file in own.glob("*.py")}
    kept = store(hub, "org/code", {**files, "config.json": "{}"})
    settings = json.loads((own / "config.json").read_text())
    settings["auto_map"] = {key: f"org/code--{entry}" for key, entry in settings["auto_map"].items()}
    (own / "config.json").write_text(json.dumps(settings))
    for file in own.glob("*.py"):
        file.unlink()
    loaded = load(own, Plan(), trust_remote_code=True)
    assert loaded.name == "OwnModel" and loaded.places["parts.made"].line == 9
    assert loaded.places["parts.made"].file == "org/code/parts.py"
    (kept / "parts.py").unlink()
    with pytest.raises(AnalyzerError, match=r"parts\.py, which is missing"):
        load(own, Plan(), trust_remote_code=True)


def test_torch_hub_loads_a_folder_on_disk(tmp_path: Path) -> None:
    place = tmp_path / "local"
    place.mkdir()
    (place / "hubconf.py").write_text("import torch\ndef small(width): return torch.nn.Linear(width, width)\n")
    call = f'torch.hub.load("{place.as_posix()}", "small", 4, source="local")'
    root = Code(init=f"self.tower = {call}").write(tmp_path)
    assert load(root, Plan(), trust_remote_code=True).module.get_parameter("tower.weight").dtype == torch.bfloat16


_TOKENIZERS = {
    "AutoTokenizer": 'AutoTokenizer.from_pretrained("org/words")',
    "tokenizers": 'tokenizers.Tokenizer.from_pretrained("org/words")',
}


@pytest.mark.parametrize("way", _TOKENIZERS)
def test_a_tokenizer_that_is_not_there_is_stood_in_for(way: str, hub: Path, tmp_path: Path) -> None:
    imports = "import tokenizers\nfrom transformers import AutoTokenizer"
    init = f"self.words = {_TOKENIZERS[way]}\nself.words.add_tokens(['<image>'])\nself.words.encode('a b')"
    root = Code(imports=imports, init=init).write(tmp_path)
    told = {one.what: one.value for one in load(root, Plan(), trust_remote_code=True).assumptions}
    value = told["the tokenizer org/words is not in the Hugging Face cache"]
    assert "one of 4 words" in value and "download org/words" in value


@pytest.mark.parametrize("way", _TOKENIZERS)
def test_a_tokenizer_of_the_cache_is_the_real_one(way: str, hub: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    made = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}, [("a", "b")]))
    settings = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"})
    store(
        hub,
        "org/words",
        {"tokenizer.json": made.to_str(), "tokenizer_config.json": settings, "config.json": '{"model_type": "gpt2"}'},
    )
    imports = "import tokenizers\nfrom transformers import AutoTokenizer"
    root = Code(imports=imports, init=f"self.words = {_TOKENIZERS[way]}").write(tmp_path)
    loaded = load(root, Plan(), trust_remote_code=True)
    words: Any = loaded.module.words
    assert words.get_vocab()["ab"] == 2 and not any("tokenizer" in one.what for one in loaded.assumptions)


def test_an_inner_model_that_would_be_quantized_is_said_to_be_not(tower: Path, tmp_path: Path) -> None:
    call = f'CLIPVisionModel.from_pretrained("{tower.as_posix()}", load_in_8bit=True)'
    root = Code(imports=NAME, init=f"self.tower = {call}").write(tmp_path)
    assert any("not quantized" in one.value for one in load(root, Plan(), trust_remote_code=True).assumptions)


def test_timm_makes_the_same_model_without_its_weights(tmp_path: Path) -> None:
    if find_spec("timm") is None:
        pytest.skip("timm is not installed")
    made = 'timm.create_model("vit_tiny_patch16_224", pretrained={}, num_classes=0)'
    root = Code(imports="import timm", init=f"self.tower = {made.format(True)}").write(tmp_path)
    stubs = () if find_spec("torchvision") else ("torchvision",)
    taught = load(root, Plan(), trust_remote_code=True, stubs=stubs).module
    file = root / "modeling_own.py"
    file.write_text(file.read_text().replace("pretrained=True", "pretrained=False"))
    plain = load(root, Plan(), trust_remote_code=True, stubs=stubs).module
    named = {name: (p.dtype, p.shape) for name, p in plain.named_parameters()}
    assert {name: (p.dtype, p.shape) for name, p in taught.named_parameters()} == named


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    root = Code(imports=NAME, init='self.tower = CLIPVisionModel.from_pretrained("/no/where/clip-vit")').write(tmp_path)
    with pytest.raises(
        AnalyzerError, match=r"modeling_own\.py:\d+: the code loads /no/where/clip-vit, which is not there"
    ):
        load(root, Plan(), trust_remote_code=True)


@pytest.mark.parametrize("cls", ["AutoModel", "CLIPVisionModel"])
def test_a_config_alone_is_enough(cls: str, hub: Path, tmp_path: Path) -> None:
    config = "CLIPVisionConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)"
    init = f'self.tower = {cls}.from_pretrained("org/none", config={config})'
    root = Code(imports="from transformers import AutoModel, CLIPVisionConfig, CLIPVisionModel", init=init).write(
        tmp_path
    )
    loaded = load(root, Plan(), trust_remote_code=True)
    assert loaded.module.get_submodule("tower").config.hidden_size == 16
