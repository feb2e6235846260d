"""What a worker is lent of other models: config and code of those that are named; and a hub id, traced."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from analyzer.cli import main
from analyzer.worker.named_models import named_models, put
from analyzer.worker.protocol import Lent, Setup, TraceRequest
from tests.hub_caches import MAIN, OTHER, cache, store, store_folder
from tests.loaders.remote import Code
from tests.model_folders import llama

__all__ = ["llama"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return cache(tmp_path / "home", monkeypatch)


def _lent(folder: Path) -> dict[str, list[str]]:
    return {one.name: [name for name, _ in one.files] for one in named_models([TraceRequest(str(folder))])}


def _model(place: Path, **files: str) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    for name, text in files.items():
        (place / f"{name}.py").write_text(text)
    return place


def test_what_is_written_out_is_lent_without_weights(hub: Path, tmp_path: Path) -> None:
    files = {"config.json": "{}", "model.safetensors": "x", "pytorch_model.bin": "x", "a.py": "", "deep/b.json": "{}",
             "tokenizer.model": "x", "more/deep/c.json": "{}"}  # fmt: skip
    for name in ("org/tower", "org/code", "org/set", "bert-base", "org/other"):
        store(hub, name, files)
    model = _model(tmp_path / "m", modeling="x('org/tower')\ny = f'org/{z}er'  # org/other", other='"bert-base"')
    (model / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "org/code--a.B"}, "tower": "org/set"}))
    found = _lent(model)
    assert set(found) == {"org/tower", "org/code", "org/set", "bert-base"}
    assert set(map(tuple, found.values())) == {("a.py", "config.json", "tokenizer.model", "deep/b.json")}


def test_what_a_named_one_names_is_lent_too_and_there_is_an_end(hub: Path, tmp_path: Path) -> None:
    for number in range(30):
        store(hub, f"org/m{number}", {"config.json": json.dumps({"next": f"org/m{number + 1}"})})
    found = _lent(_model(tmp_path / "m", modeling="'org/m0'"))
    assert list(found) == [f"org/m{number}" for number in range(16)]


def test_a_folder_beside_comes_before_the_cache(hub: Path, tmp_path: Path) -> None:
    store(hub, "org/tower", {"config.json": "{}"})
    model = _model(tmp_path / "models" / "m", modeling="'org/tower'")
    beside = _model(tmp_path / "models" / "tower")
    (lent,) = named_models([TraceRequest(str(model))])
    assert lent.files == (("config.json", str(beside / "config.json")),)
    beside.rename(tmp_path / "models" / "org--tower")
    (lent,) = named_models([TraceRequest(str(model))])
    assert lent.files[0][1].startswith(str(tmp_path / "models" / "org--tower"))
    (tmp_path / "models" / "org--tower").rename(tmp_path / "models" / ".tower")
    (lent,) = named_models([TraceRequest(str(model))])
    assert lent.commit == MAIN


def test_a_folder_is_named_by_its_path_too_where_it_lies_near(hub: Path, tmp_path: Path) -> None:
    beside = _model(tmp_path / "models" / "tower")
    (beside / "model.safetensors").write_text("x")
    model = _model(tmp_path / "models" / "m", modeling=f"'{beside}'")
    (lent,) = named_models([TraceRequest(str(model))])
    assert (lent.name, lent.files) == ("", (("config.json", str(beside / "config.json")),))
    put(tmp_path / "scratch", [lent])
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize("name", ["../secret", "{tmp}/secret", "secret", ".", "..", "org/../secret", "x" * 500])
def test_other_folders_stay_closed(name: str, hub: Path, tmp_path: Path) -> None:
    _model(tmp_path / "secret")
    model = _model(tmp_path / "models" / "m", modeling=repr(name.format(tmp=tmp_path)))
    assert _lent(model) == {}


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes are of POSIX")
def test_links_pipes_and_giants_in_a_named_one_are_not_lent(hub: Path, tmp_path: Path) -> None:
    place = store(hub, "org/tower", {"config.json": "{}"})
    (tmp_path / "secret.json").write_text("{}")
    (place / "secret.json").symlink_to(tmp_path / "secret.json")
    (place / "folder").symlink_to(tmp_path)
    os.mkfifo(place / "pipe.json")
    with (place / "giant.json").open("wb") as file:
        file.truncate(65 << 20)
    assert _lent(_model(tmp_path / "m", modeling="'org/tower'")) == {"org/tower": ["config.json"]}
    (place / "config.json").unlink()
    (place / "config.json").write_text("[" * 200)
    assert _lent(tmp_path / "m") == {"org/tower": []}


def test_what_is_lent_has_the_layout_of_a_cache(hub: Path, tmp_path: Path) -> None:
    import huggingface_hub

    store(hub, "org/tower", {"config.json": '{"a": 1}', "deep/x.py": "1"})
    store(hub, "org/tower", {"config.json": "{}"}, OTHER, "v2")
    lent = named_models([TraceRequest(str(_model(tmp_path / "m", modeling="'org/tower'")))])
    assert Setup.from_json(json.loads(json.dumps(Setup("s", lent=lent).to_json()))).lent == lent
    put(tmp_path / "scratch", lent)
    made = tmp_path / "scratch" / "huggingface" / "hub"
    for revision in ("main", MAIN):
        found = huggingface_hub.try_to_load_from_cache("org/tower", "deep/x.py", cache_dir=made, revision=revision)
        assert isinstance(found, str) and Path(found).read_text() == "1"


def test_names_of_refs_and_files_stay_in_the_scratch_folder(tmp_path: Path) -> None:
    lent = Lent("org/x", "c" * 40, ("main",), (("config.json", str(tmp_path / "there.json")),))
    (tmp_path / "there.json").write_text("{}")
    put(tmp_path / "scratch", [lent])
    put(tmp_path / "scratch", [lent])  # two requests of one worker
    assert (tmp_path / "scratch/huggingface/hub/models--org--x/refs/main").read_text() == "c" * 40


_TRIES = """
import os
from pathlib import Path
hub = Path(huggingface_hub.constants.HF_HUB_CACHE)
real = Path({hub!r})
said = []
for file in ({files}):
    try:
        said.append(f"{{len(Path(file).read_bytes())}} bytes")
    except OSError as error:
        said.append(type(error).__name__)
raise RuntimeError(" ".join(said))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a worker confined")
def test_the_worker_reads_what_is_lent_and_no_more(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tower = store(hub, "org/tower", {"config.json": "{}", "model.safetensors": "weights"})
    other = store(hub, "org/private", {"config.json": "{}"})
    inner = "hub / 'models--org--tower' / 'snapshots' / '" + MAIN + "'"
    files = ", ".join([f"{inner} / 'config.json'", repr(str(tower / "config.json")),
                       repr(str(tower / "model.safetensors")), repr(str(other / "config.json"))])  # fmt: skip
    init = _TRIES.format(hub=str(hub), files=files).strip() + "\n'org/tower'"
    root = Code(imports="import huggingface_hub", init=init).write(tmp_path)
    assert main(["trace", str(root), "--trust-remote-code"]) == 2
    err = capsys.readouterr().err
    if "not confined" in err:
        pytest.skip("this system cannot confine")
    assert "2 bytes 2 bytes PermissionError PermissionError" in err


_EVERY_WAY = """
import json, huggingface_hub
self.tower = AutoModel.from_pretrained("org/tower")
self.inner = AutoModel.from_pretrained("org/inner", trust_remote_code=True)
assert json.load(open(huggingface_hub.hf_hub_download("org/tower", "more.json"))) == [1]
assert "more.json" in os.listdir(huggingface_hub.snapshot_download("org/tower"))
""".strip()


def test_a_hub_id_is_traced_with_a_model_that_it_names(
    hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = Code(imports="import os\nfrom transformers import AutoModel", init=_EVERY_WAY)
    own = code.write(tmp_path)
    store_folder(hub, "org/model", own)
    inner = Code(init="pass")
    (tmp_path / "inner").mkdir()
    store_folder(hub, "org/inner", inner.write(tmp_path / "inner"))
    settings = {"model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "image_size": 16, "patch_size": 8}  # fmt: skip
    store(hub, "org/tower", {"config.json": json.dumps(settings), "more.json": "[1]"})
    assert main(["trace", "org/model", "--trust-remote-code"]) == 0
    assert re.search(r"0 errors", capsys.readouterr().out)


def test_an_adapter_finds_its_base_in_the_cache(
    hub: Path, llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("peft")
    store_folder(hub, "org/base", llama)
    adapter = tmp_path / "lora"
    adapter.mkdir()
    settings = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "target_modules": ["q_proj"], "r": 2}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    assert main(["trace", str(adapter)]) == 0
    out = capsys.readouterr().out
    assert "PeftModel" in out and "0 errors" in out
    (hub / "models--org--base" / "snapshots" / MAIN / "config.json").unlink()
    assert main(["trace", str(adapter)]) == 2
    assert "download org/base" in capsys.readouterr().err
