"""Small text models: decoders, encoders, encoder-decoders, mixtures of experts and state-space models."""

from __future__ import annotations

from typing import Any, Final

import torch

from tests.truth.entry import Entry

IDS: Final = torch.arange(3, 15)[None]
SHORT: Final = IDS[:, :4]
TEXT: Final[dict[str, Any]] = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
GQA: Final = TEXT | {"num_key_value_heads": 2, "head_dim": 8}
EXPERTS: Final = GQA | {"moe_intermediate_size": 24, "num_experts_per_tok": 2}
BART: Final = {
    "vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
    "encoder_layerdrop": 0.0, "decoder_layerdrop": 0.0,
}  # fmt: skip
T5: Final = {
    "vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "pad_token_id": 0,
    "decoder_start_token_id": 0,
}  # fmt: skip
ONE: Final = {"input_ids": IDS}
MASKED: Final = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
TWO: Final = {"input_ids": IDS, "decoder_input_ids": SHORT}

DECODERS: Final = (
    Entry("LlamaForCausalLM", "decoder", GQA, ONE),
    Entry("LlamaForCausalLM", "decoder", GQA, MASKED, attention="eager"),
    Entry("MistralForCausalLM", "decoder", GQA | {"sliding_window": 8}, ONE),
    Entry("Qwen2ForCausalLM", "decoder", GQA, ONE),
    Entry("Qwen3ForCausalLM", "decoder", GQA, ONE),
    Entry("Gemma2ForCausalLM", "decoder", GQA | {"query_pre_attn_scalar": 8, "sliding_window": 8}, ONE),
    Entry("Gemma2ForCausalLM", "decoder", GQA | {"sliding_window": 8}, MASKED, attention="eager"),
    Entry("Gemma3ForCausalLM", "decoder", GQA | {"query_pre_attn_scalar": 8, "sliding_window": 8}, ONE),
    Entry("Phi3ForCausalLM", "decoder", TEXT | {"num_key_value_heads": 2}, ONE),
    Entry("Olmo2ForCausalLM", "decoder", TEXT | {"num_key_value_heads": 2}, ONE),
    Entry(
        "GPT2LMHeadModel", "decoder",
        {"vocab_size": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
        ONE,
    ),
    Entry("GPTNeoXForCausalLM", "decoder", TEXT, MASKED),
    Entry(
        "OPTForCausalLM", "decoder",
        {"vocab_size": 64, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "word_embed_proj_dim": 16, "max_position_embeddings": 64, "pad_token_id": 1},
        MASKED,
    ),
    Entry("BloomForCausalLM", "decoder", {"vocab_size": 64, "hidden_size": 32, "n_layer": 2, "n_head": 4}, MASKED),
    Entry(
        "FalconForCausalLM", "decoder",
        {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}, MASKED,
    ),
)  # fmt: skip

ENCODERS: Final = (
    Entry("BertForMaskedLM", "encoder", TEXT, MASKED),
    Entry("RobertaForSequenceClassification", "encoder", TEXT | {"pad_token_id": 1}, MASKED),
    Entry(
        "DebertaV2ForMaskedLM", "encoder",
        TEXT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8,
                "norm_rel_ebd": "layer_norm", "share_att_key": True, "type_vocab_size": 0},
        MASKED,
    ),
    Entry("ElectraForPreTraining", "encoder", TEXT | {"embedding_size": 16}, MASKED),
    Entry("AlbertForMaskedLM", "encoder", TEXT | {"embedding_size": 16}, MASKED),
    Entry(
        "DistilBertForSequenceClassification", "encoder",
        {"vocab_size": 64, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 64},
        MASKED,
    ),
    Entry(
        "ModernBertForMaskedLM", "encoder",
        TEXT | {"global_attn_every_n_layers": 2, "local_attention": 8, "cls_token_id": 1, "sep_token_id": 2},
        MASKED,
    ),
)  # fmt: skip

SEQ2SEQ: Final = (
    Entry("T5ForConditionalGeneration", "encoder-decoder", T5, TWO),
    Entry("BartForConditionalGeneration", "encoder-decoder", BART, TWO),
    Entry("PegasusForConditionalGeneration", "encoder-decoder", BART, TWO),
    Entry("M2M100ForConditionalGeneration", "encoder-decoder", BART, TWO),
)

MIXTURES: Final = (
    Entry("MixtralForCausalLM", "mixture of experts", GQA | {"num_local_experts": 4, "num_experts_per_tok": 2}, ONE),
    Entry(
        "Qwen2MoeForCausalLM", "mixture of experts",
        EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 24},
        ONE,
    ),
    Entry("Qwen3MoeForCausalLM", "mixture of experts", EXPERTS | {"num_experts": 4}, ONE),
    Entry("OlmoeForCausalLM", "mixture of experts", TEXT | {"num_experts": 4, "num_experts_per_tok": 2}, ONE),
    Entry(
        "DeepseekV3ForCausalLM", "mixture of experts",
        TEXT | {"moe_intermediate_size": 24, "n_routed_experts": 8, "n_group": 2, "topk_group": 1, "q_lora_rank": 16,
                "num_experts_per_tok": 2, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
                "v_head_dim": 8, "first_k_dense_replace": 1, "num_key_value_heads": 4},
        ONE,
    ),
    Entry(
        "GptOssForCausalLM", "mixture of experts",
        GQA | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8},
        ONE,
    ),
)  # fmt: skip

STATE_SPACE: Final = (
    Entry(
        "MambaForCausalLM", "state-space",
        {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "pad_token_id": 0},
        ONE,
    ),
    Entry(
        "Mamba2ForCausalLM", "state-space",
        {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "num_heads": 8, "head_dim": 8,
         "n_groups": 2, "chunk_size": 4, "pad_token_id": 0},
        ONE,
    ),
    Entry(
        "RecurrentGemmaForCausalLM", "state-space",
        {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 3, "lru_width": 32,
         "num_attention_heads": 4, "num_key_value_heads": 1, "attention_window_size": 8, "pad_token_id": 0},
        ONE,
    ),
    Entry(
        "RwkvForCausalLM", "state-space",
        {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "context_length": 64},
        ONE,
    ),
    Entry(
        "JambaForCausalLM", "state-space",
        GQA | {"num_hidden_layers": 4, "num_experts": 2, "num_experts_per_tok": 1, "attn_layer_period": 2,
               "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1, "use_mamba_kernels": False,
               "mamba_d_state": 8, "mamba_dt_rank": 4},
        ONE,
    ),
    Entry(
        "BambaForCausalLM", "state-space",
        GQA | {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8,
               "mamba_n_groups": 1, "mamba_chunk_size": 4},
        ONE,
    ),
)  # fmt: skip

ENTRIES: Final = (*DECODERS, *ENCODERS, *SEQ2SEQ, *MIXTURES, *STATE_SPACE)
