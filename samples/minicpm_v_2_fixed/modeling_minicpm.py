"""The MiniCPM decoder: a Llama whose embeddings, residuals and logits are scaled."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration_minicpm import MiniCPMVConfig


class MiniCPMRMSNorm(nn.Module):
    def __init__(self, hidden_size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.eps = eps

    def forward(self, hidden):
        dtype = hidden.dtype
        hidden = hidden.to(torch.float32)
        hidden = hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self.eps)
        return hidden.to(dtype) * self.weight


class MiniCPMRotaryEmbedding(nn.Module):
    """Cosines and sines of every position, float32 whatever the model's dtype."""

    def __init__(self, dim, max_positions, base):
        super().__init__()
        self.dim, self.max_positions, self.base = dim, max_positions, base
        cos, sin = self.tables()
        self.register_buffer("cos_cached", cos, persistent=False)
        self.register_buffer("sin_cached", sin, persistent=False)

    def tables(self):
        steps = torch.arange(0, self.dim, 2, dtype=torch.float32) / self.dim
        frequencies = 1.0 / (self.base**steps)
        angles = torch.outer(torch.arange(self.max_positions, dtype=torch.float32), frequencies)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    def refill(self):
        """A loader that builds on the meta device leaves these tables empty."""
        for buffer, table in zip((self.cos_cached, self.sin_cached), self.tables()):
            buffer.copy_(table)

    def forward(self, position_ids):
        return self.cos_cached[position_ids].unsqueeze(1), self.sin_cached[position_ids].unsqueeze(1)


def rotate_half(x):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def apply_rotary(x, cos, sin):
    dtype = x.dtype
    x = x.to(torch.float32)
    return (x * cos + rotate_half(x) * sin).to(dtype)


class MiniCPMAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.hidden_size // self.heads
        width, bias = config.hidden_size, config.attention_bias
        self.q_proj = nn.Linear(width, self.heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(width, self.kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(width, self.kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.head_dim, width, bias=bias)
        self.rotary_emb = MiniCPMRotaryEmbedding(self.head_dim, config.max_position_embeddings, config.rope_theta)

    def forward(self, hidden, mask, position_ids):
        batch, length, _ = hidden.shape
        query = self.q_proj(hidden).view(batch, length, self.heads, self.head_dim).transpose(1, 2)
        key = self.k_proj(hidden).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)
        value = self.v_proj(hidden).view(batch, length, self.kv_heads, self.head_dim).transpose(1, 2)

        cos, sin = self.rotary_emb(position_ids)
        query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
        if self.kv_heads != self.heads:
            key = key.repeat_interleave(self.heads // self.kv_heads, dim=1)
            value = value.repeat_interleave(self.heads // self.kv_heads, dim=1)

        scores = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(self.head_dim) + mask
        scores = F.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
        mixed = torch.matmul(scores, value).transpose(1, 2).reshape(batch, length, -1)
        return self.o_proj(mixed)


class MiniCPMMLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden):
        return self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class MiniCPMDecoderLayer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self_attn = MiniCPMAttention(config)
        self.mlp = MiniCPMMLP(config)
        self.input_layernorm = MiniCPMRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = MiniCPMRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.residual_scale = config.scale_depth / math.sqrt(config.num_hidden_layers)

    def forward(self, hidden, mask, position_ids):
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), mask, position_ids) * self.residual_scale
        return hidden + self.mlp(self.post_attention_layernorm(hidden)) * self.residual_scale


class MiniCPMPreTrainedModel(PreTrainedModel):
    config_class = MiniCPMVConfig
    base_model_prefix = "model"
    _no_split_modules = ["MiniCPMDecoderLayer"]

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, MiniCPMRotaryEmbedding):
            module.refill()


class MiniCPMModel(MiniCPMPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([MiniCPMDecoderLayer(config) for _ in range(config.num_hidden_layers)])
        self.norm = MiniCPMRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_init()

    def forward(self, input_ids=None, position_ids=None, inputs_embeds=None):
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids) * self.config.scale_emb
        length, device = inputs_embeds.shape[1], inputs_embeds.device
        if position_ids is None:
            position_ids = torch.arange(length, device=device).unsqueeze(0)

        lowest = torch.finfo(inputs_embeds.dtype).min
        mask = torch.full((length, length), lowest, dtype=inputs_embeds.dtype, device=device).triu(1)

        hidden = inputs_embeds
        for layer in self.layers:
            hidden = layer(hidden, mask, position_ids)
        return self.norm(hidden)


class MiniCPMForCausalLM(MiniCPMPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.model = MiniCPMModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.logits_scale = config.hidden_size / config.dim_model_base
        self.post_init()

    def get_input_embeddings(self):
        return self.model.embed_tokens

    def set_input_embeddings(self, value):
        self.model.embed_tokens = value

    def forward(self, input_ids=None, position_ids=None, inputs_embeds=None):
        hidden = self.model(input_ids=input_ids, position_ids=position_ids, inputs_embeds=inputs_embeds)
        logits = self.lm_head(hidden / self.logits_scale)
        return CausalLMOutputWithPast(logits=logits.float())
