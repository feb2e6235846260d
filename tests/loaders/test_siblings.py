"""Files of a model's folder that import each other by plain names, or from above it: they are the folder's own code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.actions.fix import run_fix
from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from analyzer.report import Report
from tests.loaders.remote import Code, assumed, change, five

ATTENTION = "import torch\ndef twice(x):\n    return x * 2\ndef mixed(x):\n    return torch.mm(x[0], x[0].float().T)\n"


def clean(report: Report) -> bool:
    return not report.coverage.incomplete and not report.findings and not assumed(report)


def really(root: Path, code: str) -> str:
    """What Python prints of code that runs as a script beside the folder's files."""
    (root / "script.py").write_text(code)
    done = subprocess.run([sys.executable, "script.py"], cwd=root, capture_output=True, text=True, check=True)
    (root / "script.py").unlink()
    return done.stdout.strip()


def test_plain_names_are_the_folders_files_and_one_module(tmp_path: Path) -> None:
    code = Code(
        "import attention\nfrom configuration_own import OwnConfig as Again\nfrom utils.foo import bar\n"
        "import utils.foo as foo, utils.deep.more\nfrom utils import foo as other",
        files={"attention.py": f"import configuration_own\n{ATTENTION}", "utils/foo.py": "from attention import twice\n"
               "bar = 3", "utils/__init__.py": "", "utils/deep/more.py": "import foo_beside\nq = foo_beside.q",
               "utils/deep/foo_beside.py": "q = 4"},
        forward="assert Again is OwnConfig and foo is other and utils.foo is foo and utils.deep.more.q == 4\n"
        "assert attention.twice is foo.twice and attention.configuration_own.OwnConfig is Again\n"
        "from attention import twice\nx = twice(x)",
    )  # fmt: skip
    assert clean(code.trace(tmp_path))
    assert not {"attention", "utils", "configuration_own", "foo_beside"} & set(sys.modules)


def test_findings_in_such_a_file_have_its_lines_and_can_be_fixed(tmp_path: Path) -> None:
    code = Code(
        "import attention", forward="x = x + attention.mixed(x).sum().to(x.dtype)", files={"attention.py": ATTENTION}
    )
    root = code.write(tmp_path)
    report = run_trace(ModelRequest(root, Plan(), trust_remote_code=True))
    (found,) = [one for one in report.findings if one.severity == "error"]
    assert (found.file, found.line, found.source) == ("attention.py", 5, "return torch.mm(x[0], x[0].float().T)")
    _, trials, _ = run_fix(ModelRequest(root, Plan(), trust_remote_code=True), (Plan(),))
    assert any("attention.py" in str(trial) for trial in trials)
    change(root / "attention.py", "x[0].float().T", "x[0].T")  # an edited file is read again
    assert not run_trace(ModelRequest(root, Plan(), trust_remote_code=True)).findings


def test_nobody_is_told_to_install_a_file_that_is_missing(tmp_path: Path) -> None:
    code = Code("import utils.gone", files={"utils/foo.py": ""})
    with pytest.raises(AnalyzerError, match=r"imports utils/gone.py, which is missing") as caught:
        code.trace(tmp_path)
    assert "pip" not in str(caught.value)


def test_a_sibling_that_needs_a_package_is_followed(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match=r"needs 2 packages .*pip install opencv-python decord"):
        Code("import attention\nimport cv2", files={"attention.py": "import decord"}).trace(tmp_path)


@five
def test_what_a_sibling_wants_of_an_older_transformers_is_lent(tmp_path: Path) -> None:
    file = "from transformers.utils import cached_property\nclass A:\n    @cached_property\n    def b(self): return 1"
    report = Code("import attention", forward="assert attention.A().b == 1", files={"attention.py": file}).trace(
        tmp_path
    )
    assert not report.coverage.incomplete
    assert "transformers.utils.cached_property, which the installed transformers lacks" in assumed(report)


CHOICES = {
    "the folder's, as for a script": (
        "networkx.py", "DiGraph = 'own'", "from networkx import DiGraph", "DiGraph == 'own'"),
    "the folder's, taken whole": ("networkx.py", "a = 5", "import networkx", "networkx.a == 5"),
    "the installed one, where the folder's lacks it": (
        "networkx.py", "a = 5", "from networkx import DiGraph", "isinstance(DiGraph, type)"),
    "the installed one, before a folder of files alone": (
        "networkx/data.py", "a = 5", "import networkx", "networkx.DiGraph"),
    "the folder's, with all that it takes": (
        "networkx.py", "from math import *", "from networkx import pi", "pi > 3"),
    "the standard library's": ("json.py", "a = 5", "import json", "json.dumps"),
}  # fmt: skip


@pytest.mark.parametrize("how", CHOICES)
def test_which_of_two_is_meant(how: str, tmp_path: Path) -> None:
    file, text, imports, holds = CHOICES[how]
    code = Code(imports, forward=f"assert {holds}", files={file: text})
    report = code.trace(tmp_path)
    assert not report.coverage.incomplete, report.coverage.incomplete
    if "lacks it" not in how and "standard" not in how:  # where the author's own Python chooses the same
        assert really(tmp_path / "own-model-v2.5", f"{imports}\nprint(bool({holds}))") == "True"


HOSTILE = ("torch", "transformers", "numpy", "safetensors", "os", "json", "typing", "analyzer", "networkx", "yaml",
           "peft", "accelerate", "huggingface_hub", "PIL")  # fmt: skip


def test_a_hostile_folder_replaces_nothing_for_anybody_else(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    files = {f"{name}.py": f"open({str(mark)!r}, 'a').write('{name}')\nraise SystemExit(3)" for name in HOSTILE}
    code = Code("import torch, transformers, numpy, os, json, typing", files=files)
    report = code.trace(tmp_path)
    assert clean(report) and not mark.exists()
    files_of = {name: str(getattr(sys.modules.get(name), "__file__", "")) for name in HOSTILE}
    assert not {name for name, file in files_of.items() if "own-model" in file} and str(report.path) not in sys.path


def test_a_module_of_the_folder_stays_the_folders(tmp_path: Path) -> None:
    code = Code("import peft, yaml", files={"peft.py": "a = 1", "yaml.py": "safe_load = None"},
                forward="assert peft.a == 1 and yaml.safe_load is None\nimport importlib\n"
                "assert not hasattr(importlib.import_module('yaml'), 'own')")  # fmt: skip
    assert not code.trace(tmp_path).coverage.incomplete
    import yaml

    assert yaml.safe_load is not None and "own-model" not in str(yaml.__file__)


def test_imports_from_above_the_folder_are_those_of_transformers(tmp_path: Path) -> None:
    imports = "from ...activations import ACT2FN\nfrom ..auto import AutoModel\nfrom ... import PreTrainedModel as Base"
    report = Code(imports, forward="assert 'gelu' in ACT2FN and issubclass(OwnModel, Base)").trace(tmp_path)
    assert not report.coverage.incomplete
    said = assumed(report)["from ...activations import ACT2FN, which leads out of the folder"]
    assert said == "transformers.activations: the code was written inside of transformers"


def test_imports_from_above_the_folder_find_files_that_lie_in_it(tmp_path: Path) -> None:
    report = Code("from ..parts import p", forward="assert p == 1", files={"parts.py": "p = 1"}).trace(tmp_path)
    assert assumed(report) == {"from ..parts import p, which leads out of the folder": "parts in the folder"}


def test_imports_from_above_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError) as caught:
        Code("from ..things import other").trace(tmp_path)
    said = str(caught.value)
    assert "modeling_own.py:6: ImportError: 'from ..things import other' leads out of the folder" in said
    assert "copy things.py into the folder" in said
    guarded = "try:\n    from ..things import other\nexcept ImportError:\n    other = 1"
    (tmp_path / "b").mkdir()
    assert clean(Code(guarded, forward="assert other == 1").trace(tmp_path / "b"))


def test_a_folder_imported_by_its_own_name(tmp_path: Path) -> None:
    root = Code("from ownmodel.parts import p", forward="assert p == 1", files={"parts.py": "p = 1"}).write(tmp_path)
    named = root.rename(tmp_path / "ownmodel")
    assert clean(run_trace(ModelRequest(named, Plan(), trust_remote_code=True)))


@pytest.mark.parametrize("place", ["", "code/", "someone/code/"])
def test_code_of_another_repository_that_lies_in_the_folder_is_taken(place: str, tmp_path: Path) -> None:
    root = Code().write(tmp_path)
    settings = json.loads((root / "config.json").read_text())
    settings["auto_map"] = {key: f"someone/code--{value}" for key, value in settings["auto_map"].items()}
    (root / "config.json").write_text(json.dumps(settings))
    (root / place).mkdir(parents=True, exist_ok=True)
    for name in ("configuration_own.py", "modeling_own.py"):
        (root / name).rename(root / place / name)
    report = run_trace(ModelRequest(root, Plan(), trust_remote_code=True))
    assert report.class_name == "OwnModel" and not report.coverage.incomplete and not report.findings
    said = assumed(report)["auto_map takes someone/code--modeling_own.OwnModel from another repository"]
    assert said == f"{place.replace('/', '.')}modeling_own.OwnModel in the folder"
