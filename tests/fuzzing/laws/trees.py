"""Mutates data of lists and objects, and writes it as JSON that a JSON library would not write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any, Final

from tests.fuzzing.laws.values import near, odd

_RAW: Final = "\uf8ffraw{}\uf8ff"
_RAWS: Final[tuple[str, ...]] = (
    "1e999", "-1e999", "NaN", "-Infinity", "1" + "0" * 5000, "[" * 100_000 + "]" * 100_000, "[" * 990 + "]" * 990,
    '{"a":' * 100_000 + "1" + "}" * 100_000, '{"a":' * 300 + "1" + "}" * 300, "tru", "'x'", "01", "1.", "0x10",
    '"\t"', '"\\ud83d"', '"\\x"', "", ",", '{"a":1,"a":2}', "[1,]", "/* */ 1", "1 // x", "undefined", "\x00",
    '"' + "\\u0000" * 50 + '"', "1E400", "-0", "[" + "1," * 200_000 + "1]",
)  # fmt: skip
_KEPT: Final = 400
"""Places of a large file that are looked at."""
Place = tuple[Any, Any]


def changed(data: Any, random: Random, trail: list[str]) -> Any:
    """A copy with one to three places changed."""
    holder = [deepcopy(data)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(holder))
        if len(places) > _KEPT:
            places = random.sample(places, _KEPT)
        law = random.choice(_LAWS)
        place = random.choice(places)
        trail.append(f"{law.__name__} at {place[1]!r}"[:120])
        law(place, random.choice(places), random)
    return holder[0]


def written(data: Any) -> bytes:
    """The data as JSON, with the raw texts in it as they are, and floats that JSON has not."""
    try:
        text = json.dumps(data)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(str(type(data)))
    for number, raw in enumerate(_RAWS):
        text = text.replace(json.dumps(_RAW.format(number)), raw)
    return text.encode("utf-8", "surrogatepass")


def read(content: bytes) -> Any:
    """The data in a JSON file; None for what is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _places(data: Any) -> Iterator[Place]:
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from _places(data[key])


def _odd(place: Place, _: Place, random: Random) -> None:
    place[0][place[1]] = odd(random)


def _near(place: Place, _: Place, random: Random) -> None:
    place[0][place[1]] = near(place[0][place[1]], random)


def _gone(place: Place, _: Place, random: Random) -> None:
    if len(place[0]) > 1 or isinstance(place[0], dict):
        del place[0][place[1]]


def _other(place: Place, other: Place, _: Random) -> None:
    if other[1] in other[0] if isinstance(other[0], dict) else other[1] < len(other[0]):
        place[0][place[1]] = deepcopy(other[0][other[1]])


def _swapped(place: Place, _: Place, random: Random) -> None:
    holder, key = place
    other = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    holder[key], holder[other] = holder[other], holder[key]


def _twice(place: Place, _: Place, random: Random) -> None:
    if isinstance(place[0], list):
        place[0].insert(place[1], deepcopy(place[0][place[1]]))
    else:
        _renamed(place, place, random, keep=True)


def _renamed(place: Place, _: Place, random: Random, keep: bool = False) -> None:
    holder, key = place
    if isinstance(holder, dict):
        value = deepcopy(holder[key]) if keep else holder.pop(key)
        named = random.choice((f"{key}s", str(key).upper(), f" {key}", f"_{key}", f"{key}\n", "__class__", "self"))
        holder[random.choice((named, str(odd(random))[:2000]))] = value


def _more(place: Place, _: Place, random: Random) -> None:
    """A key that this place does not have, and that some library heeds."""
    target = place[0][place[1]] if isinstance(place[0][place[1]], dict) else place[0]
    if isinstance(target, dict):
        key = random.choice(_HEEDED)
        target[key] = random.choice((odd, lambda _: near(_HEEDED.index(key), random), _pointed))(random)


def _pointed(random: Random) -> Any:
    """What names code: as auto_map does, and its like."""
    from tests.fuzzing.payloads import MODULE

    code = random.choice((f"{MODULE}.X", "modeling_evil.Evil", "os.system", "someone/repo--modeling_evil.Evil"))
    return random.choice((code, [code, code], {"AutoConfig": code, "AutoModel": code, "AutoTokenizer": [code, None]}))


def _raw(place: Place, _: Place, random: Random) -> None:
    place[0][place[1]] = _RAW.format(random.randrange(len(_RAWS)))


_HEEDED: Final = (
    "auto_map", "architectures", "model_type", "quantization_config", "torch_dtype", "dtype", "text_config",
    "vision_config", "audio_config", "encoder", "decoder", "num_labels", "id2label", "label2id", "problem_type",
    "rope_scaling", "rope_parameters", "layer_types", "num_hidden_layers", "hidden_size", "intermediate_size",
    "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "image_size",
    "patch_size", "num_channels", "depths", "backbone", "backbone_config",
    "use_timm_backbone", "use_pretrained_backbone",
    "attn_implementation", "_attn_implementation", "hidden_act", "tie_word_embeddings", "is_encoder_decoder",
    "add_cross_attention", "is_decoder", "pad_token_id", "sliding_window", "num_experts", "num_local_experts",
    "num_experts_per_tok", "_name_or_path", "name_or_path", "transformers_version", "pruned_heads", "torchscript",
    "use_cache", "return_dict", "output_attentions", "output_hidden_states",
    "chunk_size_feed_forward", "pretraining_tp",
    "custom_pipelines", "processor_class", "tokenizer_class", "_class_name", "base_model_name_or_path", "peft_type",
    "task_type", "target_modules", "rank_pattern", "alpha_pattern", "layers_to_transform", "modules_to_save",
    "exclude_modules", "num_virtual_tokens", "r", "init_lora_weights", "tokenizer_name_or_path", "deepspeed", "fsdp",
    "fsdp_config", "bf16", "fp16", "torch_compile", "optim", "mixed_precision", "trust_remote_code", "kernel_config",
    "weight_map", "metadata", "__metadata__", "unknown_key",
)  # fmt: skip
_LAWS: Final[tuple[Callable[[Place, Place, Random], None], ...]] = (
    _odd, _odd, _near, _near, _near, _gone, _other, _swapped, _twice, _renamed, _more, _more, _raw,
)  # fmt: skip
