"""Packages and devices that are not there: inert stand-ins, kernels by their contract, a GPU that is only meant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.loaders.remote_code.environment import environment
from analyzer.loaders.request import ModelRequest
from analyzer.plans.stub_names import parse_stubs
from tests.loaders.remote import FIVE, Code, assumed, change, five
from tests.versions import asked

FLASH = "from flash_attn import flash_attn_func"
SOURCE = "cuda, from source: Dao-AILab/flash-attention, csrc/flash_attn/flash_api.cpp"


def attends(query: str = "q", key: str = "q", value: str = "q") -> str:
    return f"q = x[:, :, None]\nx = flash_attn_func({query}, {key}, {value}, causal=True)[:, :, 0].to(x.dtype)"


def test_a_missing_package_names_the_flag(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match=r"modeling_own.py:6 needs the package decord.*--stub auto"):
        Code("import decord").trace(tmp_path)


def test_an_inert_stand_in_may_be_imported_decorate_and_be_derived_from(tmp_path: Path) -> None:
    code = "from decord import VideoReader, cpu\nimport decord.bridge as bridge\n"
    code += "@bridge.register(1)\ndef f(x): return x\nclass Reader(VideoReader):\n    pass\n"
    report = Code(code, forward="assert not isinstance(x, Reader) and not isinstance(x, VideoReader)").trace(
        tmp_path, None, "decord"
    )
    assert not report.coverage.incomplete and assumed(report)["the package decord"] == "an inert stand-in"
    assert "decord" not in sys.modules


@pytest.mark.parametrize("use", ["VideoReader(x)", "y = decord.cpu(0)", "list(decord.probes)", "Reader()"])
def test_an_inert_stand_in_that_is_used_fails_by_name(use: str, tmp_path: Path) -> None:
    imports = "import decord\nfrom decord import VideoReader\nclass Reader(VideoReader):\n    pass"
    report = Code(imports, forward=use).trace(tmp_path, None, "decord")
    assert "which is a stand-in: the package decord is not there" in report.coverage.incomplete
    assert "modeling_own.py:" in report.coverage.incomplete and "pip install decord" in report.coverage.incomplete


def test_a_stub_that_nothing_imports_is_said(tmp_path: Path) -> None:
    assert assumed(Code().trace(tmp_path, None, "decord"))["--stub decord"] == "never imported"


@pytest.mark.parametrize("name", ["torch", "os", "flash attn", ""])
def test_names_that_cannot_be_stubbed(name: str) -> None:
    with pytest.raises(AnalyzerError, match="--stub"):
        parse_stubs([name])


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (attends(), ""),
        (attends("q.float()", "q.float()", "q.float()"), "FlashAttention only support fp16 and bf16 data type"),
        (attends("q.float()"), "FlashAttention only support fp16 and bf16 data type"),
        (attends(key="q.half()"), "query and key must have the same dtype"),
        (attends(value="q.half()"), "query and value must have the same dtype"),
    ],
)
def test_flash_attention_has_its_contract(forward: str, words: str, tmp_path: Path) -> None:
    report = Code(FLASH, forward=forward).trace(tmp_path, Plan(train=True), "flash_attn")
    found = [(f.message, f.asked.text) for f in report.findings if f.severity == "error"]
    assert found == ([(words, SOURCE)] if words else [])
    assert assumed(report)["the package flash_attn"] == "stood in for by the dtype contract of flash-attn 2.8.3"
    assert any(node.op == "kernels.attention_backward.default" for node in report.graph.ops())


def test_padding_of_flash_attention_is_computed(tmp_path: Path) -> None:
    imports = f"{FLASH}\nfrom flash_attn.bert_padding import index_first_axis, pad_input, unpad_input"
    forward = "rows, at, ends, longest, *_ = unpad_input(x, attention_mask)\nx = pad_input(rows, at, 1, x.shape[1])"
    report = Code(imports, forward=forward + "\nassert longest == 16 and ends.tolist() == [0, 16]").trace(
        tmp_path, None, "flash_attn"
    )
    assert not report.coverage.incomplete and not report.findings


def test_xformers_and_rotary_kernels(tmp_path: Path) -> None:
    imports = (
        "from xformers.ops import memory_efficient_attention\nfrom flash_attn.layers.rotary import apply_rotary_emb"
    )
    forward = "q = x[:, :, None]\nx = memory_efficient_attention(q, q.float(), q)[:, :, 0]\n"
    forward += "table = torch.ones(x.shape[1], 16)\nx = apply_rotary_emb(x[:, :, None], table, table)[:, :, 0]"
    report = Code(imports, forward=forward).trace(tmp_path, None, "xformers", "flash_attn")
    said = [f.message.splitlines()[0] for f in report.findings if f.severity == "error"]
    assert len(said) == 2 and said[0].startswith("Query/Key/Value should either all have the same dtype")
    assert said[1] == "Input and cos/sin must have the same dtype, got torch.bfloat16 and torch.float32"


@five
@pytest.mark.parametrize("name", ["flash_attention_2", "flash_attention_3", "kernels-community/flash-attn2"])
def test_a_config_may_ask_for_a_kernel(name: str, llama: Path) -> None:
    from transformers.utils import is_flash_attn_2_available

    change(llama / "config.json", '"dtype"', f'"attn_implementation": "{name}", "dtype"')
    report = run_trace(ModelRequest(llama, Plan()))
    assert sum(node.op == "kernels.attention.default" for node in report.graph.ops()) == 2 and not report.findings
    wide = run_trace(ModelRequest(llama, Plan(dtype="float32")))
    assert [f.count for f in wide.findings if "FlashAttention only support" in f.message] == [2]
    assert not is_flash_attn_2_available()


def test_a_kernel_that_config_json_names_is_there_for_guarded_imports(tmp_path: Path) -> None:
    guarded = f"try:\n    {FLASH}\n    there = True\nexcept ImportError:\n    there = False"
    for number, (said, there) in enumerate({"flash_attention_2": True, "eager": False}.items()):
        (tmp_path / str(number)).mkdir()
        code = Code(guarded, forward=f"assert there is {there}", config={"text": {"_attn_implementation": said}})
        assert not code.trace(tmp_path / str(number)).coverage.incomplete


@five
def test_flex_attention_is_traced_as_sdpa(llama: Path) -> None:
    change(llama / "config.json", '"dtype"', '"attn_implementation": "flex_attention", "dtype"')
    report = run_trace(ModelRequest(llama, Plan(device="cpu")))
    assert not report.coverage.incomplete and not report.findings
    assert assumed(report)["flex_attention, which is compiled"].startswith("sdpa")


@five
def test_transformers_refuses_the_kernel_on_a_cpu(llama: Path) -> None:
    change(llama / "config.json", '"dtype"', '"attn_implementation": "flash_attention_2", "dtype"')
    with pytest.raises(AnalyzerError, match="FlashAttention2 has been toggled on"):
        run_trace(ModelRequest(llama, Plan(device="cpu")))


MOVES = """x = x.cuda().to("cuda").to("cuda:0", non_blocking=True).to(0)
x = x.to("cuda", torch.float32).to(device="cuda", dtype=torch.bfloat16)
x = x + torch.zeros(1, device="cuda", dtype=x.dtype)
self.proj.to(x.device)
self.to("cuda")
torch.cuda.synchronize()"""


def test_moves_to_a_gpu_stay_here(tmp_path: Path) -> None:
    init = "self.a = nn.Parameter(torch.ones(3).cuda())\nself.b = nn.Linear(4, 4).to('cuda')\n"
    init += "self.c = nn.Linear(3, 3, device='cuda')\nself.register_buffer('d', torch.arange(4, device='cuda'))"
    report = Code(init=init, forward=MOVES).trace(tmp_path)
    assert not report.coverage.incomplete and not [f for f in report.findings if f.severity != "note"]


@pytest.mark.parametrize(("device", "dtype"), [("cuda", "bfloat16"), ("cpu", "float32")])
def test_code_that_asks_for_a_gpu_is_told_what_the_plan_means(device: str, dtype: str, tmp_path: Path) -> None:
    asked = "torch.bfloat16 if torch.cuda.is_available() else torch.float32"
    code = Code(f"HERE = {asked}", forward=f"there = {asked}\nassert HERE == there\nreturn x.to(there)")
    report = code.trace(tmp_path, Plan(device=device))
    assert report.outputs == (dtype,)
    told = assumed(report).get("torch.cuda.is_available()")
    assert told == ("True, as on the plan's device" if device == "cuda" else None)
    assert not torch.cuda.is_available()


def test_constructors_that_mix_a_tensor_with_what_has_no_data(tmp_path: Path) -> None:
    init = "self.table = torch.Tensor([0.5, 0.25]).to(None).unsqueeze(1) * torch.arange(8)[None, :]"
    root = Code(init=init).write(tmp_path)
    loaded = load(root, Plan(), trust_remote_code=True)
    assert loaded.module.table.shape == (2, 8) and loaded.module.table.dtype == torch.bfloat16
    cls = type(loaded.module)
    cls(loaded.module.config).save_pretrained(tmp_path / "saved")
    if FIVE:
        with pytest.raises(RuntimeError, match="device meta"):
            cls.from_pretrained(tmp_path / "saved")
    else:
        assert cls.from_pretrained(tmp_path / "saved", **asked("bfloat16")).table.dtype == torch.bfloat16


def test_constructors_that_read_values(tmp_path: Path) -> None:
    init = "self.rates = [r.item() for r in torch.arange(3) * 0.1]\nself.n = torch.rand(1).item()\n"
    init += "self.table = nn.Parameter(torch.from_numpy(torch.arange(4).numpy()).float())\n"
    init += "self.made = nn.Parameter(torch.tensor(np.ones((2, 3))))\nself.big = nn.Linear(4096, 4096)"
    root = Code("import numpy as np", init=init).write(tmp_path)
    with environment("cuda") as place:
        loaded = load(root, Plan(), trust_remote_code=True)
        assert any("reads values" in one.what for one in place.assumptions()) is FIVE
        cls = type(loaded.module)
        torch.set_default_dtype(torch.bfloat16)
        try:
            real = cls(cls.config_class.from_pretrained(root))
        finally:
            torch.set_default_dtype(torch.float32)
    ours = dict(loaded.module.named_parameters())
    assert {n: p.dtype for n, p in ours.items()} == {n: p.dtype for n, p in real.named_parameters()}
    assert all(p.is_meta for p in ours.values())


def test_weights_in_constructors_run_no_code_and_missing_ones_are_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2, 2)}, tmp_path / "extra.pt")
    init = f"self.w = nn.Parameter(torch.load({str(tmp_path / 'extra.pt')!r}, map_location='cuda')['w'])"
    assert not Code(init=init).trace(tmp_path).coverage.incomplete
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(AnalyzerError, match=r"modeling_own.py:15: FileNotFoundError.*nowhere.pt"):
        Code(init="self.w = torch.load('nowhere.pt')").trace(other)


def test_compiled_code_runs_as_it_is_written(tmp_path: Path) -> None:
    imports = "@torch.compile\ndef a(x): return x + 1\n@torch.jit.script\ndef b(x: torch.Tensor): return x * 2\n"
    imports += "@torch.compile(dynamic=True)\ndef c(x): return x - 1"
    report = Code(imports, forward="x = c(b(a(x)))").trace(tmp_path)
    lines = [node.place.line for node in report.graph.ops() if node.call in ("add", "mul", "sub")]
    assert not report.coverage.incomplete and lines == [7, 9, 11]


def test_a_part_that_is_loaded_by_name_is_named(tmp_path: Path) -> None:
    imports = "from transformers import AutoModel"
    with pytest.raises(AnalyzerError, match="loads someone/tower, which is not in the Hugging Face cache"):
        Code(imports, init="self.tower = AutoModel.from_pretrained('someone/tower')").trace(tmp_path)
