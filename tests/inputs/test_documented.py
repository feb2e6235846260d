"""What the documentation of a forward says of its tensors."""

from __future__ import annotations

import pytest
import torch
import transformers as t

from analyzer.inputs import documented
from analyzer.inputs.facts import Facts

CONFIG = t.BertConfig(hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=50)


def _facts() -> Facts:
    return Facts(t.BertModel(CONFIG), CONFIG, torch.bfloat16)


def test_shapes_and_kinds_are_read() -> None:
    text = """
        Args:
            bbox (`torch.LongTensor` of shape `(batch_size, num_boxes, 4)`):
                Boxes.
            pixel_values (`'torch.FloatTensor'` of shape '(batch_size, num_channels, height, width)', *optional*):
                Pixels.
            mask (`torch.BoolTensor` of shape `(batch_size, hidden_size)` or `(batch_size,)`): which.
            classes (`torch.LongTensor` of shape `(classes (>= batch_size), sequence_length)`): texts.
            name (`str`): no tensor.
    """
    found = documented.read(text)
    assert sorted(found) == ["bbox", "classes", "mask", "pixel_values"]
    made = {name: documented.make(name, said, _facts()) for name, said in found.items()}
    assert {name: (tuple(v.shape), v.dtype) for name, v in made.items()} == {
        "bbox": ((1, 16, 4), torch.int64),
        "pixel_values": ((1, 3, 224, 224), torch.bfloat16),
        "mask": ((1, 24), torch.bool),
        "classes": ((4, 16), torch.int64),
    }


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        (("batch_size", "num_attention_heads"), (1, 2)),
        (("7", "what_nothing_says"), (7, 4)),
        (("config.vocab_size",), (50,)),
        (("hidden_size * num_attention_heads", "num_choices"), (48, 2)),
    ],
)
def test_a_dimension_is_a_number_a_word_or_of_the_config(dims: tuple[str, ...], shape: tuple[int, ...]) -> None:
    assert documented.make("x", documented.Documented("floattensor", dims), _facts()).shape == shape


def test_the_documentation_of_transformers_is_read() -> None:
    found = documented.read(t.BrosModel.forward.__doc__)
    assert found["bbox"].dims[-1] == "4"
