"""MiniCPM-V-2: what the vision tower sees takes the place of tokens in the decoder's input."""

import torch
from torch import nn
from transformers import PreTrainedModel

from .configuration_minicpm import MiniCPMVConfig
from .modeling_minicpm import MiniCPMForCausalLM
from .modeling_siglip import VisionTransformer
from .resampler import Resampler, make_resampler


class MiniCPMV(PreTrainedModel):
    config_class = MiniCPMVConfig
    base_model_prefix = "llm"
    main_input_name = "data"

    def __init__(self, config):
        super().__init__(config)
        self.llm = MiniCPMForCausalLM(config)
        self.vpm = VisionTransformer(
            image_size=config.vision_image_size,
            patch_size=config.patch_size,
            width=config.vision_hidden_size,
            hidden=config.vision_intermediate_size,
            depth=config.vision_num_hidden_layers,
            heads=config.vision_num_attention_heads,
        )
        if config.drop_vision_last_layer:
            self.vpm.blocks = self.vpm.blocks[:-1]
        self.resampler = make_resampler(config)
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Resampler):
            nn.init.normal_(module.query, std=0.02)

    def get_input_embeddings(self):
        return self.llm.get_input_embeddings()

    def set_input_embeddings(self, value):
        self.llm.set_input_embeddings(value)

    def get_vision_embedding(self, pixel_values):
        """A list of images [3, height, width] -> [images, queries, hidden]; each image goes through alone."""
        states = []
        dtype = self.vpm.pos_embed.dtype
        patch = self.config.patch_size
        for image in pixel_values:
            grid = (image.shape[1] // patch, image.shape[2] // patch)
            vision_embedding = self.vpm(image.unsqueeze(0).type(dtype))
            states.append(self.resampler(vision_embedding, grid))
        return torch.vstack(states)

    def get_vllm_embedding(self, data):
        """The embeddings of the tokens, with the states of each image scattered over its placeholders."""
        embedding = self.llm.model.embed_tokens(data["input_ids"]) * self.llm.config.scale_emb
        for index, (images, bounds) in enumerate(zip(data["pixel_values"], data["image_bound"])):
            if not images:
                continue
            row = embedding[index]
            states = self.get_vision_embedding(images)
            places = torch.cat([torch.arange(start, end) for start, end in bounds.tolist()]).to(row.device)
            places = places.view(-1, 1).repeat(1, row.shape[-1])
            row.scatter_(0, places, states.view(-1, states.shape[-1]).type(row.dtype))
        return embedding

    def forward(self, data, **kwargs):
        embedding = self.get_vllm_embedding(data)
        position_ids = data["position_ids"]
        if position_ids.dtype != torch.int64:
            position_ids = position_ids.long()
        return self.llm(input_ids=None, position_ids=position_ids, inputs_embeds=embedding, **kwargs)
