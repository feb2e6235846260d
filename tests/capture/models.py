"""Six small transformers models, one of each family, with inputs, and the seed in small."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
import transformers as hf
from torch import nn

from tests.versions import FIVE

Made = tuple[nn.Module, dict[str, Any]]
IDS = torch.arange(3, 15)[None]
TINY = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64}


def llama() -> Made:
    """A decoder."""
    return hf.LlamaForCausalLM(hf.LlamaConfig(**TINY, pad_token_id=0)), {"input_ids": IDS}


def bert() -> Made:
    """An encoder."""
    return hf.BertModel(hf.BertConfig(**TINY)), {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


def t5() -> Made:
    """An encoder-decoder."""
    config = hf.T5Config(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=64)
    return hf.T5ForConditionalGeneration(config), {"input_ids": IDS, "decoder_input_ids": IDS[:, :4]}


def clip() -> Made:
    """Two towers."""
    vision = {k: v for k, v in TINY.items() if k != "vocab_size"} | {"image_size": 28, "patch_size": 14}
    config = hf.CLIPConfig(text_config=TINY, vision_config=vision, projection_dim=16)
    return hf.CLIPModel(config), {"input_ids": IDS, "pixel_values": torch.ones(1, 3, 28, 28)}


def whisper() -> Made:
    """Speech to text."""
    config = hf.WhisperConfig(
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=48, vocab_size=64, num_mel_bins=8, max_source_positions=20,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    return hf.WhisperForConditionalGeneration(config), {
        "input_features": torch.ones(1, 8, 40),
        "decoder_input_ids": IDS[:, :4],
    }


def mixtral() -> Made:
    """A mixture of experts."""
    config = hf.MixtralConfig(**TINY, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2)
    return hf.MixtralForCausalLM(config), {"input_ids": IDS}


ALIKE: Final = ("llama", "bert", "t5", "clip", "whisper", *(("mixtral",) if FIVE else ()))
"""Models whose every operation can be compared: before transformers 5 the routing of experts decides which are run."""
MODELS: dict[str, Callable[[], Made]] = {f.__name__: f for f in (llama, bert, t5, clip, whisper, mixtral)}


def make(name: str, dtype: torch.dtype, inputs: torch.dtype | None = None) -> Made:
    """One of them, seeded, in evaluation mode and in a dtype; float inputs in `inputs` (else `dtype`)."""
    torch.manual_seed(0)
    module, given = MODELS[name]()
    given = {k: v.to(inputs or dtype) if v.is_floating_point() else v for k, v in given.items()}
    return module.to(dtype).eval(), given


class Resampler(nn.Module):
    """The seed in small: a float32 table on the queries of a bfloat16 attention."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.ones(5, 1, 32, dtype=torch.bfloat16))
        self.pos_embed = nn.Parameter(torch.ones(5, 1, 32))
        self.attn = nn.MultiheadAttention(32, 4, dtype=torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend from the queries to x."""
        return self.attn(self.query + self.pos_embed, x, x)[0]  # type: ignore[no-any-return]
