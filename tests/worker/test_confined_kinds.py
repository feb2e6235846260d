"""Every kind of model is traced by a confined worker as it is in process: nothing that a library needs is closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from analyzer.cli import main
from tests.coverage.beside import BESIDE
from tests.loaders import pipelines
from tests.loaders.quantised import folder as quantised

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="workers are confined on Linux")
pytestmark = LINUX


def _same(model: Path, tmp_path: Path, *args: str) -> None:
    """The report of a worker that must be confined is that of this process."""
    seen = []
    for number, how in enumerate(("--require-confined", "--in-process")):
        out = tmp_path / f"report{number}.json"
        assert main(["trace", str(model), "--out", str(out), how, *args]) in (0, 1)
        seen.append(json.loads(out.read_text()))
    assert seen[0] == seen[1] and seen[0]["coverage"]["ops"] > 0 and not seen[0]["coverage"]["incomplete"]


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    config = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                         num_attention_heads=4, num_key_value_heads=4)  # fmt: skip
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_transformers_with_a_checkpoint(llama: Path, tmp_path: Path) -> None:
    _same(llama, tmp_path)
    _same(llama, tmp_path, "--steps", "prefill,decode")
    _same(llama, tmp_path, "--train", "--autocast", "cuda:bfloat16")


def test_an_adapter_and_its_base(llama: Path, tmp_path: Path) -> None:
    model = get_peft_model(LlamaForCausalLM.from_pretrained(llama), LoraConfig(target_modules=["q_proj"]))
    model.save_pretrained(tmp_path / "adapter")
    settings = tmp_path / "adapter" / "adapter_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "base_model_name_or_path": "someone/base"}))
    _same(llama, tmp_path, "--adapter", str(tmp_path / "adapter"))
    _same(tmp_path / "adapter", tmp_path)  # its base lies beside it


def test_links_into_the_cache_of_a_hub(llama: Path, tmp_path: Path) -> None:
    top = tmp_path / "models--someone--base"
    snapshot, blobs = top / "snapshots" / "abc", top / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, file in enumerate(sorted(llama.iterdir())):
        file.rename(blobs / str(number))
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", str(number)))
    _same(snapshot, tmp_path)


def test_a_recipe_and_the_files_that_it_names(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    zero = {"bf16": {"enabled": True}, "zero_optimization": {"stage": 2}}
    (tmp_path / "conf" / "zero.json").write_text(json.dumps(zero))
    recipe = tmp_path / "args.yaml"
    recipe.write_text("output_dir: out\nbf16: true\ndeepspeed: conf/zero.json\n")
    _same(llama, tmp_path, "--recipe", str(recipe))
    assert "conf/zero.json, which is not there" not in (tmp_path / "report0.json").read_text()


def test_an_inputs_file_and_what_it_imports(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ids.py").write_text("import torch\nIDS = torch.ones(1, 5, dtype=torch.long)\n")
    inputs = tmp_path / "mine" / "inputs.py"
    inputs.write_text("import sys, pathlib\nsys.path.append(str(pathlib.Path(__file__).parent))\nfrom ids import IDS\n"
                      "def inputs(config):\n    return {'input_ids': IDS}\n")  # fmt: skip
    _same(llama, tmp_path, "--inputs", str(inputs))


@pytest.mark.parametrize("make", [pipelines.stable_diffusion, pipelines.flux])
def test_diffusers(make: object, tmp_path: Path) -> None:
    _same(pipelines.save(tmp_path / "pipeline", *make()), tmp_path)  # type: ignore[operator]


def test_a_quantised_checkpoint(tmp_path: Path) -> None:
    settings = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    _same(quantised(tmp_path / "bnb", settings), tmp_path)


def test_an_exported_program(tmp_path: Path) -> None:
    program = torch.export.export(torch.nn.Linear(4, 4), (torch.ones(2, 4),))
    torch.export.save(program, tmp_path / "linear.pt2")
    _same(tmp_path / "linear.pt2", tmp_path)


@pytest.mark.skipif(not BESIDE.is_dir(), reason="no packages apart: make installs them")
@pytest.mark.parametrize("kind", ["timm", "sentence_transformers"])
def test_packages_that_lie_apart(kind: str, llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / kind
    folder.mkdir()
    if kind == "timm":
        settings = {"architecture": "resnet18", "num_classes": 10, "pretrained_cfg": {"input_size": [3, 64, 64]}}
        (folder / "config.json").write_text(json.dumps(settings))
    else:
        kinds = {"": "Transformer", "1_Pooling": "Pooling"}
        modules = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
                   for i, (path, kind) in enumerate(kinds.items())]  # fmt: skip
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        pooling = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        (folder / "config.json").write_text((llama / "config.json").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "analyzer", "trace", str(folder), "--require-confined",
         "--stub", "torchvision,scipy,sklearn"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(BESIDE), os.environ.get("PYTHONPATH", "")))},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and " ops" in done.stdout
