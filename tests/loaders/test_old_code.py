"""Remote code of older transformers: what the installed one lacks is lent, said, or named in one line."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch
import transformers

from analyzer.errors import AnalyzerError
from analyzer.loaders.versions.old_names import masks
from analyzer.loaders.versions.old_names.history import past
from tests.loaders.remote import Code, assumed, five

NAMES = """
from transformers.utils import is_torch_fx_available, cached_property, is_flash_attn_greater_or_equal_2_10
from transformers.utils import LossKwargs, add_start_docstrings
from transformers.utils.import_utils import is_torch_fx_available as again
from transformers.modeling_attn_mask_utils import AttentionMaskConverter, _prepare_4d_causal_attention_mask
from transformers.pytorch_utils import find_pruneable_heads_and_indices, is_torch_greater_or_equal_than_1_13
from transformers.modeling_utils import apply_chunking_to_forward
from transformers.models.llama.modeling_llama import LLAMA_INPUTS_DOCSTRING, LlamaFlashAttention2, LlamaRMSNorm
from transformers.generation.logits_process import LogitsWarper
from transformers.deepspeed import is_deepspeed_zero3_enabled
if is_torch_fx_available():
    _prepare_4d_causal_attention_mask = torch.fx.wrap(_prepare_4d_causal_attention_mask)
@add_start_docstrings(LLAMA_INPUTS_DOCSTRING)
def documented(): pass
class Warper(LogitsWarper):
    pass
"""
CACHE = """cache = DynamicCache.from_legacy_cache(None)
x = cache.update(x[:, None], x[:, None], 0)[0][:, 0]
again = DynamicCache.from_legacy_cache(cache.to_legacy_cache())
assert cache.get_usable_length(1) == again.seen_tokens == x.shape[1] and len(again) == 1
x = x + cache[0][0][:, 0] + again.value_cache[0][:, 0]"""
PAIR = """pair = EncoderDecoderCache.from_legacy_cache(None)
for half in (pair.self_attention_cache, pair.cross_attention_cache):
    half.update(x[:, None], x[:, None], 0)
(legacy,) = pair.to_legacy_cache()
again = EncoderDecoderCache.from_legacy_cache((legacy,))
assert len(legacy) == 4 and again.is_updated[0] and again.get_seq_length() == x.shape[1]
assert len(EncoderDecoderCache.from_legacy_cache((legacy[:2],)).to_legacy_cache()[0]) == 2"""
BERT = """mask = self.get_extended_attention_mask(attention_mask, input_ids.shape)
assert self.get_head_mask(None, 2) == [None, None] and mask.dtype == self.dtype
x = x + mask[:, 0, 0, :, None] + self.invert_attention_mask(attention_mask)[:, 0, 0, :, None]"""

OUTPUT = """
from dataclasses import dataclass
from transformers.utils import ModelOutput
@dataclass
class Own2Output(ModelOutput):
    logits: torch.Tensor = None
    past_key_values: tuple = None
"""
OWN_OUTPUT = """made = Own2Output(logits=x, past_key_values=(x,))
assert made.past_key_values is made[1]
x = made.logits"""


@five
def test_names_that_are_gone_are_lent_and_said(tmp_path: Path) -> None:
    masked = "x = x + _prepare_4d_causal_attention_mask(attention_mask, x.shape[:2], x, 0)[:, 0, :, :1]"
    report = Code(NAMES, forward=masked).trace(tmp_path)
    said = assumed(report)
    assert not report.findings and not report.coverage.incomplete
    assert (
        said["transformers.utils.cached_property, which the installed transformers lacks"]
        == "functools.cached_property"
    )
    unused = "transformers.models.llama.modeling_llama.LlamaFlashAttention2, which the installed transformers lacks"
    assert said[unused] == "a stand-in that stops the run if it is used"
    assert not hasattr(transformers.utils, "is_torch_fx_available"), "what was lent is taken back"
    with pytest.raises(ImportError):
        importlib.import_module("transformers.modeling_attn_mask_utils")


@five
def test_a_gone_class_that_is_used_names_itself_and_its_release(tmp_path: Path) -> None:
    imports = "from transformers.models.llama.modeling_llama import LlamaFlashAttention2"
    report = Code(imports, init="self.attention = LlamaFlashAttention2(config)", forward="x = self.attention(x)").trace(
        tmp_path
    )
    said = report.coverage.incomplete
    assert "modeling_own.py:21" in said and "LlamaFlashAttention2, which is a stand-in" in said
    assert f"transformers {transformers.__version__} does not have it, 4.44 had it" in said


@five
def test_a_gone_value_has_no_stand_in(tmp_path: Path) -> None:
    imports = "from transformers.modeling_utils import TORCH_INIT_FUNCTIONS"
    with pytest.raises(AnalyzerError, match=r"modeling_own.py:6 imports TORCH_INIT_FUNCTIONS .* 4\.57 had it"):
        Code(imports).trace(tmp_path)


def test_a_guarded_import_goes_its_own_way(tmp_path: Path) -> None:
    guarded = "try:\n    from transformers.utils import no_such_name\nexcept ImportError:\n    no_such_name = 7"
    report = Code(guarded, forward="assert no_such_name == 7").trace(tmp_path)
    assert not report.coverage.incomplete and not assumed(report)


@five
@pytest.mark.parametrize(
    ("code", "said"),
    [
        (Code("from transformers import DynamicCache", forward=CACHE), "DynamicCache.from_legacy_cache"),
        (Code("from transformers import EncoderDecoderCache", forward=PAIR), "EncoderDecoderCache.from_legacy_cache"),
        (Code(forward=BERT), "PreTrainedModel.get_extended_attention_mask"),
        (Code(init="self.pad, self.decodes = config.pad_token_id, config.is_decoder"), "config.pad_token_id"),
        (Code(init="self.longest, self.beams = config.max_length + 1, config.num_beams"), "config.max_length"),
        (Code(OUTPUT, forward=OWN_OUTPUT), "Own2Output(past_key_values=)"),
        (
            Code(
                OUTPUT.replace("past_key_values", "cache_params"),
                forward=OWN_OUTPUT.replace("past_key_values", "cache_params"),
            ),
            "Own2Output(cache_params=)",
        ),
        (Code(body='_tied_weights_keys = ["proj.weight"]'), "_tied_weights_keys as a list"),
        (
            Code(
                "from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS",
                init='self.register_buffer("inv_freq", ROPE_INIT_FUNCTIONS["default"](config, None)[0])',
            ),
            'ROPE_INIT_FUNCTIONS["default"]',
        ),
    ],
)
def test_members_that_are_gone_are_lent_and_said(code: Code, said: str, tmp_path: Path) -> None:
    report = code.trace(tmp_path)
    assert not report.findings and not report.coverage.incomplete
    assert [what for what in assumed(report) if what.startswith(said)]


def test_without_post_init(tmp_path: Path) -> None:
    assert not Code(init="self.post_init = lambda: None").trace(tmp_path).coverage.incomplete


@five
@pytest.mark.parametrize(
    ("init", "raises"),
    [("self.post_init = lambda: None", True), ("self.tie_weights()", False), ("pass", False)],
)
def test_what_is_not_loaded_without_post_init_is_said(init: str, raises: bool, tmp_path: Path) -> None:
    code = Code(init=init)
    said = [what for what in assumed(code.trace(tmp_path)) if "never calls post_init" in what]
    folder = tmp_path / "own-model-v2.5"
    own = transformers.AutoModel.from_config(
        transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True), trust_remote_code=True
    )
    torch.save(own.state_dict(), folder / "pytorch_model.bin")
    try:
        transformers.AutoModel.from_pretrained(folder, trust_remote_code=True)
        really = False
    except AttributeError as error:
        really = "all_tied_weights_keys" in str(error)
    assert (really, bool(said)) == (raises, raises)


def test_files_in_folders_and_files_that_import_each_other(tmp_path: Path) -> None:
    files = {
        "sub/__init__.py": "",
        "sub/deep.py": "from ..other import two\nfrom transformers.utils import cached_property\nthree = two + 1",
        "other.py": "two = 2",
    }
    report = Code("from .sub.deep import three\nfrom . import other", forward="x = x * three * other.two", files=files)
    assert sum(node.op == "aten.mul.Tensor" for node in report.trace(tmp_path).graph.ops()) == 2


def test_what_is_known_of_the_past() -> None:
    known = past("transformers.modeling_attn_mask_utils")
    assert known is not None and known.release.startswith("5.")
    assert past("transformers.utils", "no_such_name") is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_masks_are_those_of_old(dtype: torch.dtype) -> None:
    """The values that transformers 4.57 gives for a left-padded row of three, one token being kept from before."""
    hidden, embeds = torch.finfo(dtype).min, torch.zeros(1, 3, 2, dtype=dtype)
    made = masks._prepare_4d_causal_attention_mask(torch.tensor([[0, 1, 1, 1]]), (1, 3), embeds, 1)
    wanted = torch.tensor([[[[hidden, 0, hidden, hidden], [hidden, 0, 0, hidden], [hidden, 0, 0, 0]]]], dtype=dtype)
    assert made is not None and made.dtype == dtype and torch.equal(made, wanted)
    assert masks._prepare_4d_causal_attention_mask_for_sdpa(torch.ones(1, 3), (1, 3), embeds, 0) is None
    near = masks._create_4d_causal_attention_mask((1, 3), dtype, "cpu", sliding_window=1)
    assert near is not None and near[0, 0, 2].tolist() == [torch.tensor(hidden).to(dtype).item(), 0, 0]


@five
def test_masks_of_truth_values_are_those_of_old(tmp_path: Path) -> None:
    """What transformers 4.34's BLOOM gives for three tokens, one being kept from before, and for a padded row."""
    assert masks.causal_bools((1, 3), "cpu", 1)[0, 0].int().tolist() == [[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert masks.expanded_bools(torch.tensor([[0, 1]]), 2)[0, 0].int().tolist() == [[1, 0], [1, 0]]
    imports = "from transformers.models.bloom.modeling_bloom import _expand_mask, _make_causal_mask"
    hidden = "hidden = _make_causal_mask(input_ids.shape, x.device, 0) | _expand_mask(attention_mask, x.shape[1])"
    report = Code(imports, forward=f"{hidden}\nx = x + hidden[:, 0].to(x.dtype).sum(-1, keepdim=True)").trace(tmp_path)
    assert not report.coverage.incomplete and not report.findings


LAYER = """self.inner = LlamaConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=1, intermediate_size=8)
self.layer = LlamaDecoderLayer(self.inner, 0)"""
CALLED = """places = torch.arange(x.shape[1])[None]
x = self.layer(x, attention_mask=None, position_ids=places, past_key_value=None, output_attentions=False)[0]"""


@five
def test_a_layer_called_as_before_gives_a_tuple_and_is_given_back(tmp_path: Path) -> None:
    from transformers.models.llama import modeling_llama

    kept = {name: vars(modeling_llama.LlamaDecoderLayer)[name] for name in ("__init__", "forward")}
    imports = (
        "from transformers import LlamaConfig\nfrom transformers.models.llama.modeling_llama import LlamaDecoderLayer"
    )
    report = Code(imports, init=LAYER, forward=CALLED).trace(tmp_path)
    assert not report.findings and not report.coverage.incomplete
    assert not [node for node in report.graph.ops() if node.op == "aten.select.int"], "[0] is of a tuple"
    said = assumed(report)
    assert said["LlamaDecoderLayer called as in an older transformers"]
    assert [what for what in said if "without position_embeddings" in what]
    assert {name: vars(modeling_llama.LlamaDecoderLayer)[name] for name in kept} == kept
    assert not hasattr(transformers.PretrainedConfig, "rope_theta")


@five
@pytest.mark.parametrize("asked", ["output_attentions=True", "layer_head_mask=x"])
def test_what_a_layer_cannot_give_any_more_stops_by_its_name(asked: str, tmp_path: Path) -> None:
    imports = "from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer\nimport transformers"
    init = "self.layer = WhisperEncoderLayer(transformers.WhisperConfig(d_model=32, encoder_attention_heads=2))"
    report = Code(imports, init=init, forward=f"x = self.layer(x, None, {asked})[0]").trace(tmp_path)
    assert f"WhisperEncoderLayer.forward({asked.partition('=')[0]}=)" in str(report.coverage.incomplete)
