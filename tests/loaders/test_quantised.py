"""Quantised checkpoints: every scheme traces, and what is replaced, stored and computed is as the libraries have it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from torch import nn

from analyzer import loaders
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import Plan
from analyzer.loaders.quantised import consumed, inside, read
from analyzer.loaders.quantised.layouts import LAYOUTS
from analyzer.loaders.quantised.replaced_modules import chosen
from analyzer.loaders.quantised.schemes import SCHEMES
from tests.loaders.quantised import BNB4, FP8, GPTQ, METHODS, TEXT, folder, held, traced
from tests.versions import five

HUB = Path(__file__).parents[3] / "shared" / "hub"
LINEARS = 14
"""In the small Llama, lm_head left out."""


@pytest.mark.parametrize("name", METHODS)
def test_every_scheme_traces_and_says_what_is_approximated(name: str, tmp_path: Path) -> None:
    report = traced(folder(tmp_path / "m", METHODS[name]))
    said = [one for one in report.coverage.assumptions if one.file == "config.json"]
    found = read(tmp_path / "m", json.loads((tmp_path / "m" / "config.json").read_text()), "cuda")
    exact = found.scheme is not None and not found.scheme.near and not found.notes
    assert bool(said) != exact
    module = found.scheme.module if found.scheme else ""
    replaced = [path for path, kind in report.flow.inventory.classes.items() if kind == module != "Linear"]
    assert len(replaced) == (LINEARS if module not in ("", "Linear") else 0)
    assert "lm_head" not in replaced
    assert not [f for f in report.findings if f.severity == "error"]


def test_a_scheme_that_transformers_knows_has_a_row_or_a_note(tmp_path: Path) -> None:
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING as KNOWN

    for method in KNOWN:
        found = read(tmp_path, {"quantization_config": {"quant_method": method}}, "cuda")
        assert found.scheme is not None
        assert found.notes or found.scheme.source, method


@pytest.mark.skipif(not HUB.is_dir(), reason="needs the shared configs")
def test_all_real_quantisation_configs_are_read() -> None:
    seen = set()
    for file in sorted(HUB.glob("**/config.json")):
        found = read(file.parent, json.loads(file.read_text()), "cuda")
        seen |= {found.method} if found.method or found.notes else set()
    assert seen >= {
        "fp8",
        "gptq",
        "gptq_torch",
        "bitsandbytes_4bit",
        "bitsandbytes_8bit",
        "compressed-tensors",
        "mxfp4",
    }


def test_modelopt_s_own_file_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "m", None)
    (root / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "NVFP4"}}))
    assert "hf_quant_config.json says NVFP4" in [one.what for one in traced(root).coverage.assumptions]


def test_a_config_that_is_no_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalyzerError, match="quantization_config is not an object"):
        traced(folder(tmp_path / "m", "gptq"))


def test_awq_loads_bfloat16_models_in_float16_on_a_gpu(tmp_path: Path) -> None:
    root = folder(tmp_path / "m", METHODS["awq"])
    assert held(root)["model.norm.weight"][0] == "float16"
    assert held(root, device="cpu")["model.norm.weight"][0] == "bfloat16"


def test_fp8_is_dequantised_where_no_gpu_is_meant(tmp_path: Path) -> None:
    root = folder(tmp_path / "m", FP8)
    assert held(root)["model.layers.0.mlp.up_proj.weight"][0] == "float8_e4m3fn"
    assert held(root, device="cpu")["model.layers.0.mlp.up_proj.weight"] == ("bfloat16", (128, 64))
    said = traced(root, device="cpu").coverage.assumptions
    assert "dequantised when loading, as without a GPU" in [one.value for one in said]


@pytest.mark.parametrize("listed", [None, ["lm_head", "model.layers.1.mlp"], ["model.layers.0"]])
@pytest.mark.parametrize("block", [[32, 32], None])
def test_fp8_replaces_and_stores_what_transformers_does(listed: Any, block: Any, tmp_path: Path) -> None:
    integration = pytest.importorskip("transformers.integrations.finegrained_fp8")
    settings = {**FP8, "weight_block_size": block, "modules_to_not_convert": listed}
    ours = held(folder(tmp_path / "m", settings))
    with torch.device("meta"):
        model = t.LlamaForCausalLM(t.LlamaConfig(**TEXT, dtype="bfloat16")).to(torch.bfloat16)
    quantizer = t.quantizers.auto.AUTO_QUANTIZER_MAPPING["fp8"](t.FineGrainedFP8Config(**_own(settings)))
    skips = quantizer.get_modules_to_not_convert(model, listed, model._keep_in_fp32_modules)
    integration.replace_with_fp8_linear(model, skips, quantizer.quantization_config, pre_quantized=True)
    assert {n: v for n, v in ours.items() if "inv_freq" not in n} == _held(model)


def test_fp8_experts_are_stored_as_transformers_stores_them(tmp_path: Path) -> None:
    pytest.importorskip("transformers.integrations.finegrained_fp8")
    more = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "decoder_sparse_step": 1}
    root = folder(tmp_path / "m", FP8, kind=t.Qwen3MoeConfig, name="Qwen3MoeForCausalLM", head_dim=32, **more)
    report = traced(root)
    inventory = report.flow.inventory
    assert inventory.classes["model.layers.0.mlp.experts"] == "FP8Experts"
    kept = {one.name: one.spec for one in inventory.tensors}
    assert kept["model.layers.0.mlp.experts.gate_up_proj"].dtype == "float8_e4m3fn"
    assert kept["model.layers.0.mlp.experts.down_proj_scale_inv"].shape == (4, 2, 1)
    assert not report.findings


@pytest.mark.parametrize(
    ("module", "path", "make"),
    [
        ("EetqLinear", "eetq", lambda kind: kind(64, 32, bias=True)),
        ("FbgemmFp8Linear", "fbgemm_fp8", lambda kind: kind(64, 32, True)),
        ("BitLinear", "bitnet", lambda kind: kind(64, 32, True, dtype=torch.bfloat16)),
    ],
)
def test_layouts_are_those_of_transformers_own_modules(module: str, path: str, make: Any) -> None:
    integration = pytest.importorskip(f"transformers.integrations.{path}")
    if not hasattr(integration, module):
        pytest.skip(f"this transformers has no {module}")
    with torch.device("meta"):
        real = _held(make(getattr(integration, module)))
    parts = LAYOUTS[module](32, 64, {}, "bfloat16")
    assert {part.name: (part.dtype, part.shape) for part in parts} == {n: v for n, v in real.items() if n != "bias"}


def test_gptq_replaces_every_linear_layer_inside_the_blocks(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = t.GPT2LMHeadModel(t.GPT2Config(n_layer=1, n_head=2, n_embd=64, vocab_size=64))
    paths = chosen(model, SCHEMES["gptq"], GPTQ)
    assert paths == [f"transformer.h.0.{name}" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
    only = {**GPTQ, "modules_in_block_to_quantize": [["mlp.c_fc"]]}
    assert chosen(model, SCHEMES["gptq"], only) == ["transformer.h.0.mlp.c_fc"]
    report = traced(folder(tmp_path / "m", GPTQ))
    assert report.flow.inventory.classes["model.layers.0.self_attn.q_proj"] == "MarlinQuantLinear"


@five
@pytest.mark.parametrize(("settings", "words"), [(BNB4, "bitsandbytes"), (GPTQ, "GPTQ")])
def test_a_model_that_transformers_will_not_cast_is_refused_in_its_words(
    settings: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(AnalyzerError, match=f"cast a {words} model in a new `dtype`") as caught:
        loaders.load(folder(tmp_path / "m", settings), Plan(to="float16"))
    real = t.LlamaForCausalLM(t.LlamaConfig(**TEXT))
    real.quantization_method = settings["quant_method"]
    with pytest.raises(ValueError, match="new `dtype`") as raised:
        real.to(torch.float16)
    assert str(raised.value) in str(caught.value)


def test_what_lies_inside_of_a_module_is_found_among_sorted_names() -> None:
    names = sorted(["a", "a.b", "a.b.c", "a.b-1.c", "a.b/c", "a.bc", "a.b.c.d", "a.b0.c", "b.a.b.c", "a.b.\u00ff"])

    for path in ("a", "a.b", "b", "c", "a.b.c"):
        assert list(inside(path, names)) == [name for name in names if name.startswith(f"{path}.")]


def test_packed_names_belong_to_their_weights() -> None:
    names = ["a.weight.absmax", "a.weight.quant_state.bitsandbytes__nf4", "a.weight.other", "b.weight.absmax"]
    found = consumed(names, SCHEMES["bitsandbytes_4bit"], {"a.weight"})
    assert found == dict.fromkeys(names[:2], "a.weight")
    names = ["e.gate_up_proj_blocks", "e.gate_up_proj_scales", "e.gate_up_proj_bias"]
    assert consumed(names, SCHEMES["mxfp4"], {"e.gate_up_proj"}) == dict.fromkeys(names[:2], "e.gate_up_proj")
    names = ["x.weight_packed", "x.weight_scale", "x.weight_shape"]
    assert consumed(names, SCHEMES["compressed-tensors"], {"x.weight"}) == dict.fromkeys(names, "x.weight")


@pytest.mark.parametrize("name", ["bnb8", "bnb4-twice", "bnb4"])
def test_bitsandbytes_models_hold_what_the_real_loading_gives(name: str, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    config = t.Qwen2Config(**{**TEXT, "num_hidden_layers": 1})
    torch.manual_seed(0)
    t.Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(tmp_path / "plain")
    wanted = t.BitsAndBytesConfig(**_own(METHODS[name]))
    t.Qwen2ForCausalLM.from_pretrained(tmp_path / "plain", quantization_config=wanted).save_pretrained(tmp_path / "q")
    real = t.Qwen2ForCausalLM.from_pretrained(tmp_path / "q")

    loaded = loaders.load(tmp_path / "q", Plan(device="cpu"))

    walk = loaded.module.named_modules()
    hidden = {f"{path}.{leaf}" for path, module in walk for leaf in module._non_persistent_buffers_set}
    ours, theirs = _held(loaded.module), _held(real)
    assert {n: v for n, v in ours.items() if n not in hidden} == {
        n: v for n, v in theirs.items() if "inv_freq" not in n
    }
    trained = {n: p.requires_grad for n, p in real.named_parameters()}
    assert {n: p.requires_grad for n, p in loaded.module.named_parameters()} == trained
    assert not loaded.inventory.unused
    part = "model.layers.0.mlp.up_proj"
    weight: Any = real.get_submodule(part).weight
    if name == "bnb8":
        assert ours[f"{part}.SCB"] == _spec(weight.SCB)
        return
    state = weight.quant_state
    assert ours[f"{part}.absmax"] == _spec(state.absmax)
    assert ours[f"{part}.quant_map"] == _spec(state.code)
    if state.nested:
        assert ours[f"{part}.nested_absmax"] == _spec(state.state2.absmax)
        assert ours[f"{part}.nested_quant_map"] == _spec(state.state2.code)


def _own(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("quant_method", "fmt")}


def _held(model: nn.Module) -> dict[str, tuple[str, tuple[int, ...]]]:
    found = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: _spec(tensor) for name, tensor in found.items() if "inv_freq" not in name}


def _spec(tensor: torch.Tensor) -> tuple[str, tuple[int, ...]]:
    return str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
