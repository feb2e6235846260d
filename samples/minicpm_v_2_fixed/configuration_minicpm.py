"""The sizes of a MiniCPM-V-2: a MiniCPM decoder, a SigLIP tower and the resampler between them."""

from transformers import PretrainedConfig


class MiniCPMVConfig(PretrainedConfig):
    """Flat, as the real one is: decoder, vision tower and resampler share one file."""

    model_type = "minicpmv"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size=122753,
        hidden_size=2304,
        intermediate_size=5760,
        num_hidden_layers=40,
        num_attention_heads=36,
        num_key_value_heads=36,
        max_position_embeddings=4096,
        initializer_range=0.1,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        attention_bias=False,
        scale_emb=12,
        scale_depth=1.4,
        dim_model_base=256,
        use_cache=True,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        query_num=64,
        image_size=448,
        patch_size=14,
        scale_resolution=448,
        drop_vision_last_layer=True,
        vision_hidden_size=1152,
        vision_intermediate_size=4304,
        vision_num_hidden_layers=27,
        vision_num_attention_heads=16,
        vision_image_size=384,
        cast_query_positions=False,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_key_value_heads
        self.max_position_embeddings = max_position_embeddings
        self.initializer_range = initializer_range
        self.rms_norm_eps = rms_norm_eps
        self.rope_theta = rope_theta
        self.attention_bias = attention_bias
        self.scale_emb = scale_emb
        self.scale_depth = scale_depth
        self.dim_model_base = dim_model_base
        self.use_cache = use_cache
        self.query_num = query_num
        self.image_size = image_size
        self.patch_size = patch_size
        self.scale_resolution = scale_resolution
        self.drop_vision_last_layer = drop_vision_last_layer
        self.vision_hidden_size = vision_hidden_size
        self.vision_intermediate_size = vision_intermediate_size
        self.vision_num_hidden_layers = vision_num_hidden_layers
        self.vision_num_attention_heads = vision_num_attention_heads
        self.vision_image_size = vision_image_size
        self.cast_query_positions = cast_query_positions
        super().__init__(
            bos_token_id=bos_token_id, eos_token_id=eos_token_id, tie_word_embeddings=tie_word_embeddings, **kwargs
        )
