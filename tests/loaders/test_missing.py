"""Packages that are missing: one line lists them all, `--stub auto` stands in for them, and nothing else is named."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from analyzer.actions.trace import run_trace
from analyzer.cli.messages import LONGEST, LONGEST_WITH_ADVICE, shortened
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders.files.needed_imports import needed
from analyzer.loaders.files.own_files import is_installed
from analyzer.loaders.request import ModelRequest
from analyzer.loaders.stubs.ways_out import ways_out
from tests.loaders.remote import Code, assumed


def listed(code: Code, folder: Path) -> str:
    with pytest.raises(AnalyzerError) as caught:
        code.trace(folder)
    return str(caught.value)


def stood_in(code: Code, folder: Path) -> set[str]:
    """The packages that a real import, construction and run really asks for."""
    report = code.trace(folder, None, "auto")
    return {what.split()[-1] for what in assumed(report) if what.startswith("the package ")}


GUARDED = """
try:
    import missing_one
except ImportError:
    missing_one = None
try:
    import missing_two
except Exception as error:
    print(error)
else:
    import missing_three
from contextlib import suppress
with suppress(ImportError):
    import missing_four
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import missing_five
from transformers.utils import is_flash_attn_2_available
if is_flash_attn_2_available():
    from missing_six import flash
import importlib.util
if importlib.util.find_spec("missing_seven"):
    import missing_seven
if __name__ == "__main__":
    import missing_eight
if missing_one is not None:
    import missing_one.part
"""
NEEDED = {
    "at the top": Code("import needed_a\nfrom needed_b.part import x, y"),
    "in a file that is imported": Code("from .parts import p", files={"parts.py": "import needed_a\np = 1"}),
    "in a file by its plain name": Code("import parts", files={"parts.py": "import needed_a"}),
    "in a package": Code("from .sub.parts import p", files={"sub/parts.py": "from ..other import p", "other.py":
                         "import needed_a\np = 1"}),
    "in a method that runs": Code(body="def look(self):\n        import needed_a", forward="self.look()"),
    "in a constructor": Code(init="import needed_a"),
    "beside guards": Code(f"import needed_a\n{GUARDED}"),
    "guarded, but raised again": Code("try:\n    import needed_a\nexcept ImportError:\n    raise ImportError('no')"),
    "the other way is missing too": Code("try:\n    import needed_a\nexcept ImportError:\n    import needed_b"),
    "a file that is guarded": Code("import needed_b\ntry:\n    from .parts import p\nexcept ImportError:\n    p = 1",
                                   files={"parts.py": "import needed_a"}),
    "a method that nothing calls": Code("import needed_a", body="def chat(self):\n        import needed_b"),
    "a class that nothing makes": Code("import needed_a\nclass Odd:\n    def __init__(self):\n        import needed_b"),
    "a kernel that a function asks for": Code("import needed_a\ndef f():\n    import flash_attn",
                                              forward="if self.training: f()"),
}  # fmt: skip


@pytest.mark.parametrize("how", NEEDED)
def test_what_is_listed_is_what_is_really_asked_for(how: str, tmp_path: Path) -> None:
    code = NEEDED[how]
    (tmp_path / "a").mkdir()
    root = code.write(tmp_path / "a")
    entries = ["configuration_own.OwnConfig", "modeling_own.OwnModel"]
    names = needed(root, entries, lambda top: top not in sys.stdlib_module_names and not is_installed(top))
    asked = stood_in(code, tmp_path)
    if how in ("guarded, but raised again", "the other way is missing too"):  # the first is what is not there
        assert asked <= set(names)
    else:
        assert set(names) == asked
    assert names


def test_one_line_lists_them_all_with_the_ways_out(tmp_path: Path) -> None:
    code = Code("import decord\nfrom PIL_ import x", files={"more.py": "import cv2"}, init="from .more import cv2")
    said = listed(code, tmp_path)
    assert "own-model-v2.5 needs 3 packages that are not installed, modeling_own.py:6 the first" in said
    assert "pip install decord PIL_ opencv-python" in said and "--stub auto" in said
    assert "--with decord --with PIL_ --with opencv-python" in said
    assert not sys.modules.get("decord") and len(f"analyze: {said}") <= LONGEST
    many = ["pytorch_metric_learning", "matplotlib", "shapely", "vector_quantize_pytorch", "anndata"]
    line = shortened(f"analyze: own-model needs {'packages, ' * 40} ({ways_out(many)})")
    assert ways_out(many) in line and ways_out(many).count("--with ") == 5 and len(line) <= LONGEST_WITH_ADVICE


def test_the_config_lists_what_the_model_needs_too(tmp_path: Path) -> None:
    root = Code("import decord").write(tmp_path)
    text = (root / "configuration_own.py").read_text()
    (root / "configuration_own.py").write_text(f"import easydict_\n{text}")
    with pytest.raises(AnalyzerError, match=r"needs 2 packages .*pip install easydict_ decord"):
        run_trace(ModelRequest(root, Plan(), trust_remote_code=True))


def test_named_stand_ins_go_with_auto(tmp_path: Path) -> None:
    code = Code("import decord, cv2\ntry:\n    import flashy\nexcept ImportError:\n    flashy = None")
    report = code.trace(tmp_path, None, "auto", "flashy")
    assert {"the package decord", "the package cv2", "the package flashy"} <= set(assumed(report))
    (tmp_path / "b").mkdir()
    with pytest.raises(AnalyzerError, match="needs the package cv2"):
        code.trace(tmp_path / "b", None, "decord")


def test_nothing_is_stood_in_for_where_nothing_is_missing(tmp_path: Path) -> None:
    report = Code(GUARDED, forward="assert missing_one is None").trace(tmp_path, None, "auto")
    assert not report.coverage.incomplete and not assumed(report)


MAKES = """self.parts = nn.Sequential(lib.Thing(3), lib.deep.er.Thing())
self.cfg = lib.Config(a=1)
self.cfg.x = 3
assert self.cfg.x == 3
lib.init_(self.proj.weight, std=lib.STD)
self.block = Block(8, act=lib.Act)
with lib.context():
    self.names = [lib.CHOICES["a"]]
self.apply(lambda module: None)"""
IMPORTS = """import lib
from lib.registry import MODELS, register
@MODELS.register_module()
@register
def double(x): return x * 2
class Block(lib.Block):
    def __init__(self, width, **kwargs):
        super().__init__(width, **kwargs)
        self.inner = nn.Linear(width, width)
class Mixed(nn.Module, lib.Mixin):
    pass"""


def test_constructors_make_and_call_stand_ins(tmp_path: Path) -> None:
    report = Code(IMPORTS, init=f"{MAKES}\nself.mixed = Mixed()", forward="x = double(x)").trace(tmp_path, None, "auto")
    assert not report.coverage.incomplete and not report.findings
    assert report.parameters == 32 * 32 + (32 * 32 + 32) + (8 * 8 + 8)
    assert assumed(report) == {"the package lib": "an inert stand-in"}


@pytest.mark.parametrize(("forward", "words"), [
    ("x = self.parts(x)", "forward calls lib.Thing, which is a stand-in: the package lib is not there"),
    ("x = lib.ops.fast(x)", "forward calls lib.ops.fast, which is a stand-in"),
    ("x = x * lib.SCALE", "the value of lib.SCALE is needed, which is a stand-in"),
    ("x = self.block(x)", "forward calls lib.Block, which is a stand-in"),
    ("for one in lib.all(): pass", "forward calls lib.all, which is a stand-in"),
    ("Block(8)", "forward calls lib.Block, which is a stand-in"),
])  # fmt: skip
def test_what_forward_needs_fails_by_name(forward: str, words: str, tmp_path: Path) -> None:
    report = Code(IMPORTS, init=MAKES, forward=forward).trace(tmp_path, None, "auto")
    assert words in report.coverage.incomplete and "modeling_own.py:" in report.coverage.incomplete
    assert "pip install lib, or trace with it: --with lib" in report.coverage.incomplete


@pytest.mark.parametrize("use", ["nn.Linear(lib.WIDTH, 3)", "range(lib.count())", "lib.SIZE // 2", "list(lib.names)"])
def test_a_value_that_a_constructor_needs_fails_by_name(use: str, tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match=r"own.py:\d+: StandInUsed: the value of lib\.\w+ is needed"):
        Code("import lib", init=f"self.x = {use}").trace(tmp_path, None, "auto")


def test_a_package_that_is_missing_at_run_time_is_told_with_the_ways_out(tmp_path: Path) -> None:
    report = Code(forward="import decord").trace(tmp_path)
    assert "No module named 'decord' at modeling_own.py:21" in report.coverage.incomplete
    assert "pip install decord" in report.coverage.incomplete and "--stub auto" in report.coverage.incomplete


def test_code_that_went_on_without_a_package_is_told_of_it(tmp_path: Path) -> None:
    imports = "try:\n    from cpm_kernels.kernels import base as kernels\nexcept Exception:\n    kernels = None"
    forward = "kernel = kernels.KernelFunction(None, 'f')\nkernel((1,), (kernels.round_up(3, 32),), 0, None, [])"
    said = Code(imports, forward=forward).trace(tmp_path).coverage.incomplete
    assert "cpm_kernels is not installed, and the code went on: pip install cpm-kernels" in said
    (tmp_path / "b").mkdir()
    flag = re.search(r"--stub (\w+)", said)
    assert flag is not None
    report = Code(imports, forward=forward).trace(tmp_path / "b", None, flag[1])
    assert not report.coverage.incomplete


def test_calls_that_nothing_is_taken_of_are_let_through(tmp_path: Path) -> None:
    imports = "from logs import get\nlogger = get(__name__)\nimport logs"
    forward = "logger.debug('%s', x.shape)\nlogs.note(3)\nlogger.info(f'{x.dtype}')"
    assert not Code(imports, forward=forward).trace(tmp_path, None, "auto").coverage.incomplete
    for number, taken in enumerate(("y = logs.note(3)", "logs.fill_(x)", "print(logs.note(3))")):
        (tmp_path / str(number)).mkdir()
        report = Code(imports, forward=taken).trace(tmp_path / str(number), None, "auto")
        assert "which is a stand-in" in report.coverage.incomplete


KERNELS = """import triton
import triton.language as tl
class Tuner(triton.KernelInterface):
    def __init__(self, fn): self.fn = fn
    def run(self, *args, grid, **kwargs): self.fn[grid](*args, **kwargs)
@triton.autotune(configs=[triton.Config({'BLOCK': 32}, num_warps=2)], key=['n'])
@triton.heuristics({'EVEN': lambda args: True})
@triton.jit
def kernel(x, out, n, BLOCK: tl.constexpr): tl.store(out, tl.load(x))
@Tuner
@triton.jit
def tuned(x, out): pass"""


def test_kernels_that_are_launched_write_nothing(tmp_path: Path) -> None:
    forward = "out = torch.empty_like(x)\nkernel[(triton.cdiv(x.numel(), 32),)](x, out, 3, BLOCK=32)\n"
    forward += "tuned[(1,)](x, out)\nassert kernel.arg_names[:3] == ['x', 'out', 'n']\nx = out\n"
    forward += "assert triton.next_power_of_2(33) == 64 and triton.cdiv(33, 32) == 2"
    report = Code(KERNELS, forward=forward).trace(tmp_path, None, "auto")
    assert not report.coverage.incomplete and report.outputs == ("bfloat16",)
    assert assumed(report)["the package triton"].startswith("stood in for by kernels that write nothing")


def test_an_installed_package_of_kernels_is_stood_in_for_in_own_code_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "site"
    there.mkdir()
    (there / "cpm_kernels.py").write_text("real = True")
    monkeypatch.syspath_prepend(str(there))
    imports = "from cpm_kernels.kernels.base import round_up\nimport cpm_kernels.kernels as k, importlib"
    forward = "assert round_up(3, 32) == 32 and k.base.round_up is round_up\n"
    forward += "assert importlib.import_module('cpm_kernels').real"
    report = Code(imports, forward=forward).trace(tmp_path)
    assert not report.coverage.incomplete, report.coverage.incomplete
    assert assumed(report)["the package cpm_kernels"].startswith("stood in for by kernels that write nothing")
    (tmp_path / "b").mkdir()
    code = Code("import cpm_kernels", forward="assert cpm_kernels.real")
    assert not code.trace(tmp_path / "b", Plan(device="cpu")).coverage.incomplete
    del sys.modules["cpm_kernels"]


def test_an_error_that_code_raises_for_a_missing_package_names_it(tmp_path: Path) -> None:
    imports = "try:\n    from mamba_ssm.ops.triton.layernorm_gated import rmsnorm_fn\nexcept ImportError:\n"
    imports += "    raise ImportError('it is required')"
    said = listed(Code(imports), tmp_path)
    assert "ImportError: it is required" in said and "pip install mamba-ssm" in said and "--stub auto" in said
    (tmp_path / "b").mkdir()
    forward = "x = rmsnorm_fn(x, self.proj.weight[0], None, z=x, group_size=8, norm_before_gate=False)"
    report = Code(imports, forward=forward).trace(tmp_path / "b", None, "auto")
    assert not report.coverage.incomplete and not report.findings


def test_classes_of_stand_ins_that_call_no_constructor(tmp_path: Path) -> None:
    imports = "import lib\nclass Own(lib.Base):\n    def __init__(self, part):\n        self.part = part\n"
    imports += "        self.made = lib.Part()"
    report = Code(imports, init="self.own = Own(nn.Linear(2, 2))").trace(tmp_path, None, "auto")
    assert not report.coverage.incomplete and report.parameters == 32 * 32 * 2 + 32 + 6


def test_faithful_stand_ins_are_traced(tmp_path: Path) -> None:
    imports = "from timm.models.layers import DropPath, Mlp, to_2tuple, trunc_normal_\nimport timm\n"
    imports += "from einops_exts import rearrange_many\nfrom easydict import EasyDict"
    init = "self.drop = DropPath(0.1)\nself.mlp = Mlp(config.width, to_2tuple(64)[0])\n"
    init += "trunc_normal_(self.proj.weight, std=EasyDict(std=0.02).std)\n"
    init += "self.tower = timm.create_model('vit_tiny_patch16_224', num_classes=0, img_size=32)\n"
    init += "assert isinstance(self.tower, timm.models.VisionTransformer)"
    forward = "x = self.drop(self.mlp(x))\na, b = rearrange_many((x, x), 'b n (h d) -> b h n d', h=2)\n"
    forward += "pixels = torch.zeros(1, 3, 32, 32, dtype=x.dtype)\nseen = self.tower(pixels)\n"
    forward += "assert seen.shape == (1, 192) and seen.dtype == x.dtype and a.shape[1] == 2"
    report = Code(imports, init=init, forward=forward).trace(tmp_path, None, "auto")
    assert not report.coverage.incomplete and not report.findings
    said = assumed(report)
    assert said["the package timm"] == "stood in for by the documented shapes and dtypes of timm 1.0.31"
    assert said["the package easydict"].endswith("easydict 1.13")


def test_ways_out_name_what_pip_has() -> None:
    assert ways_out(["apex"]).startswith("get apex from elsewhere: not on PyPI, or trace without it")
    assert "pip install timm and get apex from elsewhere: not on PyPI" in ways_out(["timm", "apex"])
    bound = ways_out(["torchvision"])
    assert ("+" in torch.__version__) == bound.startswith(f"get torchvision as built for torch {torch.__version__}")


def test_modules_of_torch_are_untouched(tmp_path: Path) -> None:
    before = dict(vars(nn.Module))
    Code(IMPORTS, init=MAKES).trace(tmp_path, None, "auto")
    assert dict(vars(nn.Module)) == before and "lib" not in sys.modules
