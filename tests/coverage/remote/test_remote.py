"""Remote codes are laid out from mirrors, traced with one hint at most, and what is found in them is really run."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.coverage.remote import page
from tests.coverage.remote.confirming import SAME, said
from tests.coverage.remote.mirrors import Code, Place, codes, lay_beside, lay_out
from tests.coverage.remote.tracing import AT_ONCE, BESIDE, HINTED, STOPPED, Row, trace

CONFIG = {
    "model_type": "own", "architectures": ["Own"], "dtype": "bfloat16", "num_hidden_layers": 3, "vocab_size": 32,
    "auto_map": {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.Own"},
}  # fmt: skip
CODE = """
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
class OwnConfig(PretrainedConfig):
    model_type = "own"
class Own(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(32, 4)
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(config.num_hidden_layers))
        self.post_init()
    def forward(self, input_ids):
        x = self.embed(input_ids)
        for layer in self.layers:
            x = layer(x)
        return x
"""
CORE = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="puts each trace on a core of its own")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "modeling_own.py").write_text(CODE)
    return folder


def _changed(folder: Path, old: str, new: str) -> None:
    file = folder / "modeling_own.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def _mirror(mirrors: Path, repository: str, files: dict[str, str]) -> str:
    """A repository with one commit of these files; the commit."""
    root = mirrors / repository.replace("/", "+") / "repo"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "one")):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    return subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()


def test_a_folder_is_laid_out_with_its_code_and_a_config_from_elsewhere(tmp_path: Path) -> None:
    code = _mirror(
        tmp_path, "a/code", {"sub/m.py": "x", "sub/deep/n.py": "y", "sub/model.safetensors": "w", "o.py": ""}
    )
    config = _mirror(tmp_path, "b/configs", {"c/own.json": "{}"})
    one = Code("f", "n", Place("a/code", code, "sub"), Place("b/configs", config, "c/own.json"))
    assert lay_out(one, tmp_path, tmp_path / "out") is None
    laid = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert laid == {"m.py", "deep/n.py", "config.json"}


def test_a_model_that_the_code_names_is_put_beside_once_the_words_say_so(own: Path, tmp_path: Path) -> None:
    _changed(own, "self.post_init()", "AutoModel.from_pretrained('some/named'); self.post_init()")
    _changed(own, "import PretrainedConfig", "import AutoModel, PretrainedConfig")
    small = {"model_type": "bert", "architectures": ["BertModel"], "num_hidden_layers": 1}
    commit = _mirror(tmp_path / "git", "b/alike", {"c/bert.json": json.dumps(small)})
    code = Code("f", "own", Place("", "", ""), None, (("named", Place("b/alike", commit, "c/bert.json")),))
    assert trace("own", own, CORE).outcome == STOPPED
    row = trace("own", own, CORE, partial(lay_beside, code, tmp_path / "git", own))
    assert (row.outcome, row.hint) == (HINTED, f"{BESIDE} named") and "some/named" in row.why
    assert "(config.json of b/alike@" in page.body([code], {code.title: row}, {})


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    code = _mirror(tmp_path, "a/code", {"m.py": "x"})
    said = [
        lay_out(Code("f", "n", Place(name, revision, ""), None), tmp_path, tmp_path / "out")
        for name, revision in (("a/none", code), ("a/code", "0" * 40), ("a/code", code))
    ]
    assert said == ["no mirror of a/none", "no commit 0000000000 in the mirror of a/code", "no config.json in a/code"]


def test_the_table_has_each_code_once() -> None:
    known = codes()
    assert len({code.title for code in known}) == len(known) >= 60
    assert len({code.family for code in known}) >= 12


def test_a_trace_that_fails_by_itself_stops(own: Path) -> None:
    _changed(own, "return x", "raise ValueError('no more')")
    row = trace("own", own, CORE)
    assert row.outcome == STOPPED and "no more" in row.why


def test_an_error_is_found_at_once_and_really_raised(own: Path) -> None:
    _changed(own, "return x", "return x @ torch.ones(4, 4)")
    row = trace("own", own, CORE)
    assert (row.outcome, row.hint, row.model) == (AT_ONCE, "", "Own")
    assert row.ops > 3 and row.mib > 100 and row.seconds > 0
    (error,) = row.errors
    told = json.loads(said(row, own))
    assert told[error] == SAME and told[""].endswith("give the same dtypes")


def test_a_warning_is_found_with_a_hint_and_is_what_its_line_really_gives(own: Path) -> None:
    _changed(own, "import torch\n", "import torch\nimport not_there\n")
    _changed(own, "return x", "return (x.float() * 1.1).to(x.dtype).float()")
    row = trace("own", own, CORE)
    assert row.outcome == HINTED and "not_there" in row.why
    (warning,) = row.warnings
    words = json.loads(said(row, own))[warning]
    assert words.endswith("operations at the line really give these dtypes")


def test_the_page_counts_and_escapes() -> None:
    code = Code("f", "n", Place("a/b", "0" * 40, "c"), None)
    text = page.body(
        [code], {"f__n": Row("f__n", HINTED, "--stub x", model="M", ops=3, warnings=("W a|b at f:1",))}, {}
    )
    assert "Of 1 codes of 1 families, 1 are traced" in text and "100.0 %" in text
    assert "W a\\|b at f:1" in text and "a/b@0000000000/c" in text and "`--stub x`" in text
