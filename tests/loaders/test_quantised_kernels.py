"""What quantised layers take and give, against the real libraries on the CPU, and the faults that people report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from torch import nn

from analyzer.ir.findings import Finding
from analyzer.loaders.quantised.layer import StandIn
from analyzer.loaders.quantised.schemes import SCHEMES
from analyzer.report import Report
from tests.loaders.quantised import BNB4, BNB8, FP8, GPTQ, METHODS, TEXT, folder, traced
from tests.versions import asked

FLOATS = (torch.float16, torch.bfloat16, torch.float32)
OWN = """
import torch
from torch import nn
from transformers import PreTrainedModel, LlamaConfig
class Own(PreTrainedModel):
    config_class = LlamaConfig
    def __init__(self, config):
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, 64)
        self.proj = nn.Linear(64, 64, bias=False)
        self.head = nn.Linear(64, 64)
        self.post_init()
    def forward(self, input_ids):
        return self.head({how})
"""


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("compute", [None, *FLOATS])
def test_linear4bit_gives_what_the_real_one_gives(compute: Any, grad: bool) -> None:
    bnb = pytest.importorskip("bitsandbytes")
    settings = {**BNB4, "bnb_4bit_compute_dtype": compute and str(compute)}
    for dtype in FLOATS:
        real = bnb.nn.Linear4bit(64, 32, compute_dtype=compute or torch.float32, quant_type="nf4")
        real.load_state_dict(nn.Linear(64, 32).to(torch.bfloat16).state_dict())
        real = real.to("cpu").requires_grad_(False).train(grad)
        assert _run(_ours("bitsandbytes_4bit", settings), dtype, grad) == _run(real, dtype, grad)


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 6.0])
def test_linear8bit_gives_what_the_real_one_gives(threshold: float, grad: bool) -> None:
    bnb = pytest.importorskip("bitsandbytes")
    for dtype in FLOATS:
        real = bnb.nn.Linear8bitLt(64, 32, has_fp16_weights=False, threshold=threshold)
        real.load_state_dict(nn.Linear(64, 32).to(torch.bfloat16).state_dict())
        real = real.to("cpu").requires_grad_(False).eval()
        assert _run(_ours("bitsandbytes_8bit", BNB8), dtype, grad) == _run(real, dtype, grad)


@pytest.mark.parametrize("config", ["Int8WeightOnlyConfig", "Float8WeightOnlyConfig"])
def test_torchao_weights_take_and_give_as_the_real_ones(config: str) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    for loaded in FLOATS:
        real = nn.Sequential(nn.Linear(64, 32)).to(loaded)
        quantization.quantize_(real, getattr(quantization, config)())
        plain = nn.Linear(64, 32).to(loaded)
        int8 = StandIn(SCHEMES["torchao_int8"], plain, {}, str(loaded).removeprefix("torch.")).to_empty(device="cpu")
        for dtype in FLOATS:
            ours, theirs = _run(int8 if config.startswith("Int8") else plain, dtype, False), _run(real, dtype, False)
            assert ours == theirs or [len(one) for one in (ours, theirs)] == [
                1,
                1,
            ]  # both refused: in whose words differs


@pytest.mark.parametrize("loaded", [torch.float16, torch.bfloat16])
def test_compressed_tensors_layers_are_dense_after_the_first_forward(loaded: torch.dtype, tmp_path: Path) -> None:
    pytest.importorskip("compressed_tensors")
    save_file = pytest.importorskip("safetensors.torch").save_file
    root, name = folder(tmp_path / "m", METHODS["compressed-tensors"]), str(loaded).removeprefix("torch.")
    stored = {}
    for key, tensor in t.LlamaForCausalLM(t.LlamaConfig(**TEXT)).to(loaded).state_dict().items():
        is_packed = key.endswith("_proj.weight")
        stored[key] = tensor.to(torch.float8_e4m3fn) if is_packed else tensor
        stored |= {f"{key}_scale": torch.ones(len(tensor), 1, dtype=loaded)} if is_packed else {}
    save_file(stored, root / "model.safetensors", metadata={"format": "pt"})
    model = t.LlamaForCausalLM.from_pretrained(root, **asked(loaded))
    model(torch.zeros(1, 3, dtype=torch.long))
    real, report = model.model.layers[0].self_attn.q_proj, traced(root, dtype=name)
    ours = {one.name: one for one in report.flow.inventory.tensors}["model.layers.0.self_attn.q_proj.weight"]
    assert (ours.spec.dtype, ours.saved) == (str(real.weight.dtype).removeprefix("torch."), "float8_e4m3fn")
    assert not report.flow.inventory.unused
    assert not [one for one in report.findings if one.code == "DT403"]
    for dtype in FLOATS:
        assert _run(nn.Linear(64, 64, bias=False).to(loaded), dtype, False) == _run(real, dtype, False)


def _loud(report: Report) -> list[Finding]:
    return [one for one in report.findings if one.severity != "note"]


def test_float32_activations_in_gptq_s_marlin_kernel_are_an_error_in_its_words(tmp_path: Path) -> None:
    report = traced(folder(tmp_path / "m", GPTQ), dtype="float32")
    found = next(one for one in report.findings if one.severity == "error")
    assert found.message == "gpt_marlin_gemm only supports bfloat16 and float16"
    assert found.asked.text == "cuda, from source: gptqmodel's copy of gptq_marlin.cu (vllm#28843)"
    assert found.module.endswith("_proj")
    script = report.flow.graph[found.nodes[0]].script
    assert (script.lines, "another library" in script.doubt) == ((), True)
    assert not traced(folder(tmp_path / "m", GPTQ), dtype="float32", device="cpu").findings
    assert not _loud(traced(folder(tmp_path / "m", GPTQ), dtype="bfloat16"))


def test_bitsandbytes_default_compute_dtype_is_a_warning(tmp_path: Path) -> None:
    """h2oai/h2ogpt#682: float16 enters, float32 is computed in, and it is slow."""
    report = traced(folder(tmp_path / "m", BNB4), dtype="float16")
    [found] = _loud(report)
    assert (found.code, found.message) == ("DT303", "f16 enters a quantised layer that computes in f32")
    assert found.count == 14
    for settings, dtype in ((METHODS["bnb4-twice"], "bfloat16"), (BNB4, "float32"), (BNB8, "float16")):
        assert not _loud(traced(folder(tmp_path / "m", settings), dtype=dtype))


def test_a_quantised_model_trains_under_autocast_with_the_real_dtypes(tmp_path: Path) -> None:
    settings = {**BNB4, "bnb_4bit_compute_dtype": "float16"}
    report = traced(folder(tmp_path / "m", settings), dtype="float32", autocast="cuda:bfloat16", train=True)
    products = [
        n for n in report.flow.graph.ops() if n.module.endswith("up_proj") and not n.phase and n.call == "linear"
    ]
    assert {report.flow.dtypes[n.id][0] for n in products if n.op.endswith(("mm.default", "linear.default"))} == {
        "float16"
    }


def test_a_raw_read_of_a_replaced_weight_is_refused_as_the_real_one(tmp_path: Path) -> None:
    """intel/ipex-llm#10470: code that multiplies with `module.weight` itself meets packed bytes."""
    bnb = pytest.importorskip("bitsandbytes")
    code = "nn.functional.linear(self.embed(input_ids), self.proj.weight)"
    report = traced(_own(tmp_path, code, BNB8), dtype="float16")
    found = next(one for one in report.findings if one.severity == "error")
    real = bnb.nn.Linear8bitLt(64, 64, bias=False, has_fp16_weights=False).to("cpu")
    with pytest.raises(RuntimeError) as raised:
        nn.functional.linear(torch.ones(16, 64, dtype=torch.float16), real.weight)
    assert found.message == str(raised.value)


def test_arithmetic_on_an_fp8_weight_is_refused_as_the_real_one(tmp_path: Path) -> None:
    """Nerogar/OneTrainer#442: a DoRA adds to the base weight, and float8 promotes with nothing."""
    code = "self.embed(input_ids) @ (self.proj.weight + self.embed.weight)"
    report = traced(_own(tmp_path, code, FP8), dtype="float16")
    found = next(one for one in report.findings if one.severity == "error")
    with pytest.raises(RuntimeError, match="Promotion for Float8 Types is not supported") as raised:
        torch.ones(64, 64).to(torch.float8_e4m3fn) + torch.ones(64, 64, dtype=torch.float16)
    assert found.message == str(raised.value).split("\n")[0] or found.message in str(raised.value)


def _own(root: Path, how: str, settings: dict[str, Any]) -> Path:
    root = folder(root / "own", settings, name="Own", num_hidden_layers=0)
    (root / "modeling_own.py").write_text(OWN.replace("{how}", how))
    config = json.loads((root / "config.json").read_text())
    (root / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling_own.Own"}}))
    return root


def _ours(row: str, settings: dict[str, Any]) -> nn.Module:
    made = StandIn(SCHEMES[row], nn.Linear(64, 32), settings, "bfloat16").requires_grad_(False)
    return made.to_empty(device="cpu")


def _run(module: nn.Module, dtype: torch.dtype, grad: bool) -> tuple[Any, ...]:
    """The dtypes of the result and of the input's gradient, or what is raised."""
    value = torch.ones(3, 64, dtype=dtype, requires_grad=grad)
    try:
        result = module(value)
    except RuntimeError as error:
        return (str(error),)
    if grad:
        result.sum().backward()
    return result.dtype, value.grad.dtype if value.grad is not None else None
