"""A folder or a file that is traced, edited and traced again in one process is traced as it is now."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest

import analyzer
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.loaders.remote_code.environment import environment
from tests.loaders.remote import Code, change

WIDE = Code(forward="from .helper import widen\nx = widen(x)", files={"helper.py": "def widen(x): return x.float()\n"})
FILE = """
import torch
from torch import nn
from beside import widen

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 4).to(torch.bfloat16)

    def forward(self, x):
        return self.proj(widen(x))

def build():
    return Net(), {"x": torch.ones(2, 4, dtype=torch.bfloat16)}
"""


def codes(model: Path, **options: str) -> list[str]:
    return [one.code for one in analyzer.trace(model, trust_remote_code=True, **options).findings]  # type: ignore[arg-type]


def ours() -> set[str]:
    return {name for name in sys.modules if name.startswith(("_model_", "_built_", "_inputs_", "beside", "helper"))}


def test_a_folder_that_was_edited_has_a_new_verdict(tmp_path: Path) -> None:
    root = WIDE.write(tmp_path)
    assert "DT101" in codes(root) and not ours()
    change(root / "helper.py", "x.float()", "x")
    assert codes(root) == [] and not ours()
    change(root / "helper.py", "return x", "return x.double()")
    assert "DT101" in codes(root)


def test_a_folder_that_is_edited_while_the_environment_lasts_is_read_again(tmp_path: Path) -> None:
    root = WIDE.write(tmp_path)
    with environment("cpu"):
        first = load(root, Plan(), trust_remote_code=True).module
        change(root / "modeling_own.py", "return self.proj(x)", "return 2 * self.proj(x)")
        second = load(root, Plan(), trust_remote_code=True).module
        assert type(first) is not type(second)
        assert "2 * self.proj" in inspect.getsource(type(second).forward)
        same = load(root, Plan(), trust_remote_code=True).module
        assert type(same) is type(second)  # nothing was edited: no second copy of its classes


def test_a_file_and_what_lies_beside_it_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("def widen(x): return x.float()\n")
    assert "DT101" in codes(tmp_path / "model.py") and not ours()
    change(tmp_path / "beside.py", "x.float()", "x")
    assert codes(tmp_path / "model.py") == [] and not ours()


def test_a_file_in_another_folder_finds_what_lies_beside_it_there(tmp_path: Path) -> None:
    given = []
    with environment("cpu"):
        for name, text in (("one", "x.float()"), ("other", "x")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "model.py").write_text(FILE)
            (tmp_path / name / "beside.py").write_text(f"def widen(x): return {text}\n")
            model = load(tmp_path / name / "model.py", Plan()).module
            given.append(inspect.getsource(model.forward.__globals__["widen"]))
    assert ["float" in text for text in given] == [True, False]


def test_an_inputs_file_is_read_again(tmp_path: Path) -> None:
    root = Code().write(tmp_path)
    text = "import torch\ndef inputs(config): return {'input_ids': torch.ones(1, 3, dtype=torch.int64)}\n"
    file = tmp_path / "given.py"
    file.write_text(text)
    sizes = []
    for width in (3, 5):
        file.write_text(text.replace("3", str(width)))
        report = analyzer.trace(root, trust_remote_code=True, inputs_file=file)
        sizes.append(next(node.outputs[0].shape[1] for node in report.flow.graph if node.name == "input_ids"))
    assert sizes == [3, 5] and not ours()


@pytest.mark.parametrize("defines", [
    "torch.library.define('own_ops::two', '(Tensor x) -> Tensor')",
    "lib = torch.library.Library('own_ops', 'FRAGMENT')\nlib.define('three(Tensor x) -> Tensor')",
    "@torch.library.custom_op('own_ops::four', mutates_args=())\ndef f(x: torch.Tensor) -> torch.Tensor: return 2 * x",
])  # fmt: skip
def test_operators_that_a_folder_defines_are_defined_again(defines: str, tmp_path: Path) -> None:
    root = Code(imports=defines).write(tmp_path)
    assert [codes(root), codes(root)] == [[], []]


def test_a_package_under_development_inside_of_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FILE.replace("from beside", "import developed.inner\nfrom beside"))
    (tmp_path / "beside.py").write_text("def widen(x): return x\n")
    (tmp_path / "src" / "developed").mkdir(parents=True)
    for name in ("__init__.py", "inner.py"):
        (tmp_path / "src" / "developed" / name).write_text("")
    sys.path.append(str(tmp_path / "src"))
    try:
        assert codes(tmp_path / "model.py") == []
        assert {"developed", "developed.inner"} <= set(sys.modules) and "beside" not in sys.modules
    finally:
        sys.path.remove(str(tmp_path / "src"))
        for name in ("developed", "developed.inner"):
            sys.modules.pop(name, None)


def test_packages_in_an_environment_inside_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FILE.replace("from beside", "import installed_here\nfrom beside"))
    (tmp_path / "beside.py").write_text("def widen(x): return x\n")
    site = tmp_path / "venv" / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "installed_here.py").write_text("")
    sys.path.append(str(site))
    try:
        assert codes(tmp_path / "model.py") == []
        assert "installed_here" in sys.modules
    finally:
        sys.path.remove(str(site))
        sys.modules.pop("installed_here", None)
