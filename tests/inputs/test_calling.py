"""What a person calls of a model: each call that is found is really made, and with the names that were read."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

from analyzer.inputs.calls.calling import call_of, drivers
from analyzer.inputs.facts import Facts
from analyzer.inputs.makers import choose
from tests.inputs.own import Config


class Takes(nn.Module):
    """Reads the keys of a dict, itself and in what it hands the dict to."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.patches = nn.Embedding(100, 8), nn.Conv2d(3, 8, 4, stride=4)

    def forward(self, data: Any, **kwargs: Any) -> Any:
        embedded = self.embed(data, scale=2)
        return embedded + data["position_ids"][..., None]

    def embed(self, given: Any, scale: int) -> Any:
        embedded = self.embedding(given["input_ids"]) * scale
        if "seen" in given:
            return embedded + given["seen"]
        if given.get("pixel_values") is not None:
            embedded = embedded + self.patches(given.pixel_values).mean()
        return embedded


class Hands(nn.Module):
    """Hands on all that it is given."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("use_cache", False)
        return self.inner(*args, **kwargs)


class Text(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 8)

    def forward(self, input_ids: Any = None, inputs_embeds: Any = None, use_cache: bool = True) -> Any:
        return self.embedding(input_ids) if inputs_embeds is None else inputs_embeds + 1


class Sub(Text):
    """Adds nothing of its own."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward(*args, **kwargs)


class Gathers(nn.Module):
    """Takes what it needs out of its keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 8)

    def forward(self, **kwargs: Any) -> Any:
        return self.embedding(kwargs["input_ids"])


class Chats(nn.Module):
    """Has no forward, but a method that people call."""

    def __init__(self) -> None:
        super().__init__()
        self.language_model = Text()

    def generate(self, input_ids: Any, pixel_values: Any = None) -> Any:
        return self.language_model(input_ids=input_ids)


class Prepares(nn.Module):
    """Makes embeddings, which people then give to its language model."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.language_model = nn.Conv2d(3, 8, 4), Text()

    def prepare_inputs_embeds(self, input_ids: Any, pixel_values: Any) -> Any:
        return self.language_model.embedding(input_ids) + self.patches(pixel_values).mean()


class Sees(nn.Module):
    """Is shown a picture and asked a question."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4)

    def chat(self, image, question, history=None):  # type: ignore[no-untyped-def]
        pixels = torch.tensor(list(image.resize((8, 8)).convert("RGB").tobytes())).float()
        return self.patches(pixels.reshape(1, 8, 8, 3).permute(0, 3, 1, 2)) + len(question.split())


class Layers(nn.Module):
    """Says nothing of what it takes."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):  # type: ignore[no-untyped-def]
        return self.layer(x)


MODELS: dict[str, tuple[nn.Module, set[str]]] = {
    "a dict": (Takes(), {"input_ids", "pixel_values", "position_ids"}),
    "handed on": (Hands(Text()), {"input_ids"}),
    "handed on twice": (Hands(Hands(Text())), {"input_ids"}),
    "handed on to what is above": (Sub(), {"input_ids"}),
    "handed on to a dict": (Hands(Takes()), {"input_ids", "pixel_values", "position_ids"}),
    "gathered": (Gathers(), {"input_ids"}),
    "driven": (Chats(), {"input_ids", "pixel_values"}),
    "prepared": (Prepares(), {"input_ids", "pixel_values"}),
    "shown": (Sees(), {"image", "question"}),
    "an image": (Layers(nn.Conv2d(3, 8, 4)), {"x"}),
    "a grey image": (Layers(nn.Conv2d(1, 8, 4)), {"x"}),
    "a sound": (Layers(nn.Conv1d(1, 8, 4)), {"x"}),
    "ids": (Layers(nn.Embedding(10, 8)), {"x"}),
    "numbers": (Layers(nn.Linear(24, 8)), {"x"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_real_call_takes_what_was_made_up(name: str) -> None:
    if name == "shown" and find_spec("PIL") is None:
        pytest.skip("without Pillow there is no picture to show")
    model, names = MODELS[name]
    facts = Facts(model, Config(), torch.float32)
    made = choose(facts)
    assert set(made) == names
    result = facts.call.run(model, made) if facts.call.run else model(**made)
    assert isinstance(result, torch.Tensor) and result.is_floating_point()


def test_keys_that_the_model_asks_for_first_are_not_needed() -> None:
    needed = {name: one.default is one.empty for name, one in call_of(Takes()).signature.parameters.items()}
    assert needed == {"input_ids": True, "position_ids": True, "pixel_values": True, "seen": False}


def test_a_forward_that_says_its_arguments_is_called_as_ever() -> None:
    call = call_of(Text())
    assert call.run is None and list(call.signature.parameters) == ["input_ids", "inputs_embeds", "use_cache"]


def test_a_tensor_is_no_dict() -> None:
    assert list(call_of(Layers(nn.ReLU())).signature.parameters) == ["x"]


def test_a_shell_is_called_by_the_forward_of_its_one_part() -> None:
    class Shell(nn.Module):
        def __init__(self, parts: int) -> None:
            super().__init__()
            self.inner, self.other = nn.Linear(8, 8), nn.Linear(8, 8) if parts > 1 else nn.Identity()

    shell, given = Shell(1), torch.ones(1, 8)
    call = call_of(shell)
    assert call.run is not None
    assert torch.equal(call.run(shell, {"input": given}), shell.inner(given))
    assert not drivers(Shell(2))
