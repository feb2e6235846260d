"""What a plan's device changes in a report: verdict, words, and who said them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

import analyzer
from analyzer import Plan, Report
from analyzer.render.words import story

TOP = Path(__file__).parents[2]


def _ones(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=dtype)


def _layer_norm(device: str, x: torch.dtype, w: torch.dtype) -> Report:
    args = (_ones(x, 2, 32), [32], _ones(w, 32), _ones(w, 32))
    return analyzer.trace(F.layer_norm, args, plan=Plan(device=device))


@pytest.mark.parametrize(("narrow", "name"), [(torch.bfloat16, "BFloat16"), (torch.float16, "Half")])
def test_layer_norm_of_a_narrow_input_with_wide_weights(narrow: torch.dtype, name: str) -> None:
    here, there = _layer_norm("cpu", narrow, torch.float32), _layer_norm("cuda", narrow, torch.float32)
    real = F.layer_norm(_ones(narrow, 2, 32), [32], _ones(torch.float32, 32), _ones(torch.float32, 32))
    assert not here.findings and here.outputs == (str(real.dtype).removeprefix("torch."),)
    (finding,) = there.findings
    assert (finding.code, finding.message) == ("DT101", f"expected scalar type {name} but found Float")
    assert finding.asked.text == "cuda, from source: pytorch#135969"
    assert there.to_json()["findings"][0]["asked"] == finding.asked.text
    assert f"{finding.message} [{finding.asked}]" in story(finding)


def test_the_reverse_is_refused_on_both_in_words_of_their_own() -> None:
    reports = [_layer_norm(device, torch.float32, torch.bfloat16) for device in ("cpu", "cuda")]
    assert [(f.message, f.asked.text) for report in reports for f in report.findings] == [
        ("mixed dtype (CPU): expect parameter to have scalar type of Float", "cpu"),
        ("expected scalar type Float but found BFloat16", "cuda, from source: pytorch#135969"),
    ]


def test_a_refusal_that_only_the_cpu_gave_says_so() -> None:
    args = (_ones(torch.float32, 3, 4), _ones(torch.bfloat16, 4))
    for device, asked in (("cpu", "cpu"), ("cuda", "as on CPU")):
        (finding,) = analyzer.trace(torch.mv, args, plan=Plan(device=device)).findings
        assert finding.asked.text == asked
        assert (finding.message in story(finding)) == (device == "cpu")


def test_the_words_of_a_composite_call_are_not_laid_into_cudas_mouth() -> None:
    x, w, b = _ones(torch.bfloat16, 1, 4, 8, 8), _ones(torch.bfloat16, 4, 4, 3, 3), _ones(torch.float32, 4)
    with pytest.raises(RuntimeError) as raised:
        F.conv2d(x, w, b)
    (finding,) = analyzer.trace(F.conv2d, (x, w, b)).findings
    assert (finding.message, finding.asked.text) == (str(raised.value), "as on CPU")


def test_a_transposed_convolution_with_a_wide_bias_is_refused_on_cuda_whatever_this_cpu_says() -> None:
    args = (_ones(torch.bfloat16, 1, 4, 8), _ones(torch.bfloat16, 4, 4, 3), _ones(torch.float32, 4))
    here = analyzer.trace(F.conv_transpose1d, args, plan=Plan(device="cpu"))
    try:
        F.conv_transpose1d(*args)
    except RuntimeError as error:  # of a CPU for which oneDNN lacks the kernel
        assert [f.message for f in here.findings] == [str(error)]
    else:
        assert here.outputs == ("bfloat16",) and not here.findings
    (finding,) = analyzer.trace(F.conv_transpose1d, args).findings
    assert finding.message == "Input type (CUDABFloat16Type) and bias type (torch.cuda.FloatTensor) should be the same"


def test_statistics_of_norms_are_float32_on_cuda() -> None:
    args = (_ones(torch.bfloat16, 2, 32), [32], _ones(torch.bfloat16, 32), _ones(torch.bfloat16, 32))
    for device, statistics in (("cpu", "bfloat16"), ("cuda", "float32")):
        report = analyzer.trace(torch.native_layer_norm, (*args, 1e-5), plan=Plan(device=device))
        assert not report.findings and report.outputs == ("bfloat16", statistics, statistics)


def test_rms_norm_runs_mixed_on_both() -> None:
    args = (_ones(torch.bfloat16, 2, 32), [32], _ones(torch.float32, 32))
    for device in ("cpu", "cuda"):
        report = analyzer.trace(F.rms_norm, args, plan=Plan(device=device))
        assert not [f for f in report.findings if f.severity == "error"]
        assert report.outputs == (str(F.rms_norm(*args).dtype).removeprefix("torch."),)


def test_a_float32_mask_of_a_narrow_query_is_refused_by_the_fused_kernel_of_cuda_alone() -> None:
    query, mask = _ones(torch.bfloat16, 1, 2, 8, 8), _ones(torch.float32, 8, 8)
    assert F.scaled_dot_product_attention(query, query, query, mask).dtype == torch.bfloat16
    for given, refused in ((mask, True), (mask.bfloat16(), False), (mask.bool(), False)):
        for device in ("cpu", "cuda"):
            call = (query, query, query, given)
            report = analyzer.trace(F.scaled_dot_product_attention, call, plan=Plan(device=device))
            words = [f.message for f in report.findings]
            expected = ["invalid dtype for bias - should match query's dtype"] if refused and device == "cuda" else []
            assert words == expected and report.outputs == ("bfloat16",)


def test_float8_matrices_multiply_on_the_cpu_alone() -> None:
    args = [torch.zeros(16, 16).to(torch.float8_e4m3fn)] * 2
    assert torch.mm(*args).dtype == torch.float8_e4m3fn
    assert not analyzer.trace(torch.mm, tuple(args), plan=Plan(device="cpu")).findings
    (finding,) = analyzer.trace(torch.mm, tuple(args)).findings
    assert finding.message == "\"addmm_cuda\" not implemented for 'Float8_e4m3fn'"


def _bert() -> BertModel:
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=99,
        attn_implementation="eager",
    )  # fmt: skip
    model = BertModel(config).eval().bfloat16()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.float()
    return model


def test_a_model_with_its_layer_norms_left_wide_fails_on_cuda_only() -> None:
    model, ids = _bert(), torch.arange(8)[None]
    assert model(ids).last_hidden_state.dtype == torch.bfloat16
    here = analyzer.trace(model, (ids,), plan=Plan(device="cpu"))
    there = analyzer.trace(model, (ids,), plan=Plan(device="cuda"))
    assert not [f for f in here.findings if f.code == "DT101"]
    found = [f for f in there.findings if f.code == "DT101"]
    norms = [n for n in there.graph.ops() if n.op == "aten.native_layer_norm.default"]
    assert {node for f in found for node in f.nodes} == {n.id for n in norms}
    assert {f.asked.text for f in found} == {"cuda, from source: pytorch#135969"}
    wide = {o.name for f in found for operand in f.operands if operand.dtype == "float32" for o in operand.origins}
    assert wide and all("LayerNorm" in name for name in wide)
    assert there.outputs == here.outputs  # the repair gives what the CPU gave, so that nothing else is refused after it


def test_the_command_line_costs_no_torch() -> None:
    code = "import sys, analyzer.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=TOP, check=False).returncode == 0
