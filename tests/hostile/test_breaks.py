"""Holes that a review found: code that runs, files that are written or read, and work that never ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import subprocess
import time
import zlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig

from analyzer.actions.source_quotes import find
from analyzer.actions.trace import run_trace
from analyzer.check.suppressions import Suppression, configured
from analyzer.cli import main
from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Finding
from analyzer.ir.plan import LONGEST, Plan, Preparation
from analyzer.loaders.request import ModelRequest
from analyzer.printable import logged
from analyzer.worker.protocol import TraceRequest
from analyzer.worker.readable import readable
from tests.hostile.programs import Members, edited, graph_of, saved

NEW = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 9)
program = pytest.mark.skipif(not NEW, reason="the archives are edited in the form of torch 2.9 and later")
BUILTINS = "__class__.named_parameters.__builtins__"
LEAF = {"type": None, "context": None, "children_spec": []}
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
         "vocab_size": 32}  # fmt: skip


def _nothing_runs(file: Path, marker: Path) -> None:
    with contextlib.suppress(AnalyzerError):
        run_trace(ModelRequest(file, Plan()))
    assert not marker.exists()


@program
def test_keys_of_inputs_are_no_python(tmp_path: Path) -> None:
    """torch writes `'{key}':` for every key of the dict of inputs."""
    marker = tmp_path / "marker"
    key = f"':0}}), self._in_spec)\nopen({str(marker)!r},'w').close()\ndef g():\n    pass #"

    def change(found: Any, _: Members) -> None:
        positional = {"type": "builtins.tuple", "context": "null", "children_spec": []}
        named = {"type": "builtins.dict", "context": json.dumps([key]), "children_spec": [LEAF]}
        tree = {"type": "builtins.tuple", "context": "null", "children_spec": [positional, named]}
        found["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps([1, tree])

    _nothing_runs(edited(saved(tmp_path / "m.pt2"), change), marker)


@program
def test_a_name_of_a_tensor_leads_to_a_tensor(tmp_path: Path) -> None:
    """Of a parameter so called, torch reads the attribute: Python's builtins, of which `wrap` calls one."""
    marker = tmp_path / "marker"

    def node(graph: Any, target: str, out: str, *arguments: dict[str, str | dict[str, str]]) -> dict[str, Any]:
        inputs = [{"name": "", "arg": one, "kind": 1} for one in arguments]
        outputs = [{"as_tensor": {"name": out}}]
        made = {
            "target": target,
            "inputs": inputs,
            "outputs": outputs,
            "name": out,
            "is_hop_single_tensor_return": True,
        }
        return {**deepcopy(graph["nodes"][0]), **made}

    def change(found: Any, members: Members) -> None:
        graph, weights = graph_of(found), "data/weights/model_weights_config.json"
        values = graph["tensor_values"]
        for name in ("c", "run", "ran"):
            values[name] = {**deepcopy(values["p_layer_bias"]), "requires_grad": False}
        graph["inputs"].insert(0, {"as_tensor": {"name": "c"}})
        spec = {"parameter": {"arg": {"name": "c"}, "parameter_name": BUILTINS}}
        found["graph_module"]["signature"]["input_specs"].insert(0, spec)
        config = json.loads(members[weights])
        config["config"][BUILTINS] = deepcopy(config["config"]["layer.bias"])
        members[weights] = json.dumps(config).encode()
        code = f"open({str(marker)!r}, 'w').close()"
        graph["nodes"][0:0] = [
            node(graph, "_operator.getitem", "run", {"as_tensor": {"name": "c"}}, {"as_string": "exec"}),
            node(graph, "torch.ops.higher_order.wrap", "ran", {"as_tensor": {"name": "run"}}, {"as_string": code}),
        ]
        linear = next(one for one in graph["nodes"] if one["name"] == "linear")
        linear["inputs"][2]["arg"] = {"as_tensor": {"name": "ran"}}

    _nothing_runs(edited(saved(tmp_path / "m.pt2"), change), marker)


class Worded(nn.Module):
    """A model one of whose inputs is a word."""

    def forward(self, x: torch.Tensor, mode: str) -> torch.Tensor:
        return x + 1


@program
def test_a_word_among_the_inputs_is_no_python(tmp_path: Path) -> None:
    """torch makes a guard of it: `{input} == '{word}'`, which it compiles."""
    marker, file = tmp_path / "marker", tmp_path / "m.pt2"
    torch.export.save(torch.export.export(Worded(), (torch.ones(3), "WORD")), file)
    word = f"a' #\n)\nopen({json.dumps(str(marker))},'w').close()\ndef g():\n  (0, '"

    def change(found: Any, _: Members) -> None:
        text = json.dumps(found).replace('"WORD"', json.dumps(word))
        found.clear()
        found.update(json.loads(text))

    _nothing_runs(edited(file, change), marker)


def _llama(root: Path) -> Path:
    LlamaConfig(**SMALL, architectures=["LlamaForCausalLM"]).save_pretrained(root)
    return root


@pytest.mark.parametrize("settings", [
    {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "megatron_config": {"x": 1}, "megatron_core": "trap"},
    {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2, "prompt_tuning_init": "TEXT", "task_type": "CAUSAL_LM",
     "prompt_tuning_init_text": "x", "tokenizer_name_or_path": ".", "tokenizer_kwargs": {"trust_remote_code": True}},
])  # fmt: skip
def test_the_adapter_of_a_plan_imports_nothing(settings: dict[str, object], tmp_path: Path) -> None:
    """An adapter_config.json with the same is refused before peft sees it."""
    pytest.importorskip("peft")
    plan = Plan(train=True, preparation=Preparation(adapter=settings))
    with pytest.raises(AnalyzerError, match=r"names the module|has tokenizer_kwargs"):
        run_trace(ModelRequest(_llama(tmp_path / "m"), plan))


def test_a_pipeline_in_a_pipeline_is_not_for_diffusers_to_load(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    inner = tmp_path / "m" / "unet"
    (inner / "unet").mkdir(parents=True)
    for folder, part in ((inner.parent, ["diffusers", "DDPMPipeline"]), (inner, ["trap", "X"])):
        index = {"_class_name": "DDPMPipeline", "_diffusers_version": "0.30.0", "unet": part}
        (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(AnalyzerError) as refused:
        run_trace(ModelRequest(tmp_path / "m", Plan()))
    assert "trap" not in str(refused.value)


@pytest.mark.parametrize("file", ["/proc/self/environ", "/etc/passwd", "../secret.py"])
def test_no_line_from_elsewhere_is_quoted(file: str, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "secret.py").write_text("secret")
    assert find(file, str(tmp_path / "m")) is None


class Repository:
    """A git repository with trees that git itself would not make."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._git("init", "-q", ".")
        _llama(root / "model")
        self._git("add", ".")
        self._git("commit", "-qm", "a")
        self.config = self._git("rev-parse", "HEAD:model/config.json")

    def _git(self, *args: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", "-C", str(self.root), *who, *args], capture_output=True, check=True)
        return done.stdout.decode().strip()

    def made(self, kind: str, data: bytes) -> str:
        """An object, by its name."""
        whole = f"{kind} {len(data)}\0".encode() + data
        name = hashlib.sha1(whole).hexdigest()
        file = self.root / ".git" / "objects" / name[:2] / name[2:]
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(zlib.compress(whole))
        return name

    def link(self, target: bytes) -> str:
        return self.made("blob", target)

    def tree(self, *rows: tuple[str, str, str]) -> str:
        return self.made("tree", b"".join(f"{m} {n}\0".encode() + bytes.fromhex(oid) for m, n, oid in rows))

    def commit(self, *rows: tuple[str, str, str]) -> str:
        """A revision whose model folder holds these."""
        model = self.tree(("100644", "config.json", self.config), *rows)
        return self._git("commit-tree", self.tree(("40000", "model", model)), "-m", "odd")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "r").mkdir()
    return Repository(tmp_path / "r")


def test_a_revision_makes_no_link_outside(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    victim, scratch = tmp_path / "victim", tmp_path / "scratch"
    victim.mkdir()
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    one = repository
    out = one.tree(("120000", "out", one.link(b"../../../../victim")),
                   ("40000", "out", one.tree(("120000", "evil", one.link(b"x")))))  # fmt: skip
    inner = one.tree(("120000", "c", one.link(b"../../x")), ("40000", "c", out))
    rows = ("40000", "a", one.tree(("40000", "b", inner))), ("40000", "x", one.tree(("100644", "f", one.config)))
    main(["diff", str(one.root / "model"), "--rev", f"{one.commit(*rows)}..HEAD"])
    assert list(victim.iterdir()) == []


@pytest.mark.parametrize(("name", "target"), [
    ("l", b"a\0b"), ("config.json", b"x"), ("l" * 300, b"x"), ("l", b"x" * 5000),
])  # fmt: skip
def test_an_odd_link_of_a_revision_is_no_fault(
    name: str, target: bytes, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = repository.commit(("120000", name, repository.link(target)))
    assert main(["diff", str(repository.root / "model"), "--rev", f"{commit}..HEAD"]) == 2
    assert "fault in analyze" not in capsys.readouterr().err


def _looped(folder: Path) -> str:
    (folder / "a.json").symlink_to("a.json")
    (folder / "recipe.yaml").write_text("output_dir: x\ndeepspeed: a.json\n")
    return "recipe.yaml"


def _long(folder: Path) -> str:
    (folder / "recipe.yaml").write_text(f"output_dir: x\ndeepspeed: {'b' * 300}.json\n")
    return "recipe.yaml"


def _endless(folder: Path) -> str:
    endless: list[object] = []
    endless.append(endless)
    (folder / "training_args.bin").write_bytes(pickle.dumps({"output_dir": "x", "a": endless}))
    return "training_args.bin"


@pytest.mark.parametrize("write", [_looped, _long, _endless])
def test_an_odd_recipe_is_no_fault(
    write: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / write(tmp_path)
    main(["trace", str(_llama(tmp_path / "m")), "--recipe", str(recipe)])
    assert "fault in analyze" not in capsys.readouterr().err


def test_the_name_of_a_source_may_be_long(tmp_path: Path) -> None:
    assert find("a" * 900, str(tmp_path)) is None


def _quick(work: Callable[[], object]) -> None:
    """What the front reads has no deadline: it must take the time of its length, not of its square."""
    begun = time.process_time()
    with contextlib.suppress(AnalyzerError):
        work()
    assert time.process_time() - begun < 1


def test_a_long_key_of_a_project_is_quick(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(f"{'.'.join(['a'] * 20_000)} = 1\n")
    _quick(lambda: configured([tmp_path], {}))


def test_a_long_word_in_a_recipe_is_quick(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("a" * 50_000)
    _quick(lambda: readable([TraceRequest(str(tmp_path), recipes=(str(tmp_path / "recipe.json"),))]))


def test_a_pattern_of_a_suppression_is_quick() -> None:
    finding = Finding("DT101", "n", "error", "m", "o", "c", "a.b", "f.py", 1, ("n",))
    _quick(lambda: Suppression(("DT101",), "why", "here", module="[" * LONGEST).covers(finding))


def test_empty_lines_are_quick() -> None:
    _quick(lambda: logged("\n" * 30_000))
