"""A pattern that can keep Python's matcher busy is refused, and really does; what people publish passes quickly."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Final

import pytest

from analyzer.errors import AnalyzerError
from analyzer.loaders.limits.backtracking import slow
from analyzer.loaders.limits.patterns import check_patterns

NAMES: Final = (
    "base_model.model.model.language_model.layers.31.mlp.experts.127.down_proj" * 2,
    "model.visual.blocks.31.attn.qkv." * 6, "a" * 200, "ab" * 100, "a.b_" * 50, "0" * 200, "." * 200,
)  # fmt: skip

REAL: Final = (
    # unsloth, all layers of a model that sees
    r"(?:.*?(?:vision|image|visual|patch_embed|img|audio|language|text).*?(?:self_attn|attention|attn|mlp|feed_forward"
    r"|ffn|dense).*?(?:k_proj|v_proj|q_proj|out_proj|fc1|fc2|qkv|proj|merger|gate_proj|up_proj|down_proj|o_proj).*?)|"
    r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|attention|attn|mlp|feed_forward|ffn|dense)\.(?:(?:q_proj|k_proj)))",
    # peft's documentation, ColPali, PaliGemma, T5, FLUX
    r".*decoder.*(SelfAttention|EncDecAttention).*(q|v)$", r"(^|.*\.)lm_head($|\..*)", r".*[qv]_proj",
    r"(.*(language_model).*(down_proj|gate_proj|up_proj|k_proj|q_proj|v_proj|o_proj).*$|.*(custom_text_proj).*$)",
    r"(.*x_embedder|.*(?<!single_)transformer_blocks\.[0-9]+\.norm1\.linear|.*single_transformer_blocks\.[0-9]+\.attn)",
    r"^(?!.*(?:vision|visual)).*(?:q_proj|v_proj)$", r"^(?!.*patch_embed).*(?:q_proj|k_proj|v_proj|o_proj).*",
    r".*\.layers\.([0-9]|1[0-9]|2[0-9])\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj", r"(?:.*\.)?(?:q_proj|v_proj)",
    # GPTQModel, compressed-tensors, transformers' own names with a star in them
    r".*\.18\..*gate.*", r".*lm_head", r"model\.layers\.\d+\..*", r".*mlp.gate$", r"model.layers.*.self_attn",
    r"vision_model.*|multi_modal_projector.*|.*router.*", r".*\.mlp\.experts\.\d+\.(gate|up|down)_proj$",
    # what is somewhat free and still quick
    r".*a.*b.*c", r"^(?:\w+\.)*(?:q|k)_proj$", r"(\w+\.)*q_proj", r"[^.]+\.[^.]+\.layers\.\d+\.\w+", r"(?:ab|cd|e)*x",
    r"(.*\.)?(model.layers.*.q_proj)$", "q_proj", "model.layers.0.mlp", "",
)  # fmt: skip

EXPONENTIAL: Final = (
    r"(a+)+$", r"(a|a)*b", r"(.*)*x", r"(\w+\s?)*$", r"(a*a*)*b", r"(?=(a+)+b)", r"([^b]*a)*x",
    r"(.*\.)?(x)|((a+)+)$", r"(?:aa?){90}b",
)  # fmt: skip
"""Each takes longer than the age of the world on 200 letters; a child is given a second of it."""
OTHER: Final = (
    r"(?:a?)*b", r".*.*.*x", r".*e" * 10 + "X", r"a?" * 30 + "a" * 30, r"\d*\d*\d*\d*x", r"(?:){100000000}",
    r"((a?){1000}){1000}",
    r"(?i)" + r"[\x00-\U0010ffff]" * 100, "(" * 2000 + ")" * 2000, "a" * 5000, r"(?:$)*?(?:(?:\b)+?a[^a])*?\w",
)  # fmt: skip


@pytest.mark.parametrize("pattern", REAL)
def test_a_real_pattern_passes_and_is_quick(pattern: str) -> None:
    assert slow(pattern) == ""
    compiled = re.compile(pattern)
    for name in NAMES:  # a slow one would not come back
        compiled.fullmatch(name)
        compiled.match(f"{name}!")


@pytest.mark.parametrize("pattern", (*EXPONENTIAL, *OTHER))
def test_a_pattern_that_can_be_slow_is_refused(pattern: str) -> None:
    assert slow(pattern)


@pytest.mark.parametrize("pattern", EXPONENTIAL)
def test_it_is_really_slow(pattern: str) -> None:
    code = "import re, sys; [re.compile(sys.argv[1]).match(n) for n in ('a' * 200, 'a' * 200 + '!')]"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", code, pattern], timeout=1, check=False)


@pytest.mark.parametrize("pattern", ["(", "a{2,1}", "[", "*", "(?P<a>x)(?P<a>y)", "x{99999999999999999999}"])
def test_what_is_no_pattern_is_left_to_the_library(pattern: str) -> None:
    assert slow(pattern) == ""


def test_a_library_puts_more_around_a_pattern() -> None:
    assert slow("x)|((a+)+") == ""  # alone it does not compile
    with pytest.raises(AnalyzerError, match="of rank_pattern is not matched"):
        check_patterns("adapter_config.json", {"rank_pattern": {"x)|((a+)+": 8}})


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "(a+)+$"}, {"exclude_modules": "(a+)+$"}, {"feedforward_modules": "(a+)+$"},
        {"layers_pattern": "(a+)+$"}, {"layers_pattern": ["(a+)+$"]}, {"alpha_pattern": {"(a+)+$": 1}},
        {"modules_to_save": ["(a+)+$"]}, {"target_parameters": ["(a+)+$"]},
        {"quantization_config": {"ignore": ["re:(a+)+$"]}}, {"quantization_config": {"dynamic": {"-:(a+)+$": {}}}},
        {"text_config": {"quantization_config": {"config_groups": {"g": {"targets": ["re:(a+)+$"]}}}}},
        {"compression_config": {"ignore": ["re:(a+)+$"]}},
    ],
)  # fmt: skip
def test_every_place_of_a_pattern_is_looked_at(settings: dict[str, object]) -> None:
    with pytest.raises(AnalyzerError, match="repeats what repeats itself"):
        check_patterns("config.json", settings)


def test_names_that_no_library_takes_for_patterns_are_left_alone() -> None:
    check_patterns("config.json", {"target_modules": ["(a+)+$"], "base_model_name_or_path": "(a+)+$", "auto_map": {}})
