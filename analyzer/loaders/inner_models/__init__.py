"""Answers a model's code that loads other models by name: from the cache, and by their configs alone."""

from __future__ import annotations

from pathlib import Path

from analyzer.loaders.inner_models.from_pretrained import answer_transformers
from analyzer.loaders.inner_models.other_libraries import answer_timm, name_github, says
from analyzer.loaders.inner_models.tokenizers import answer_tokenizers
from analyzer.loaders.remote_code.environment import Environment

__all__ = ["answer"]


def answer(place: Environment, root: Path, device: str, *, loading: bool) -> None:
    """Answer for as long as the environment lasts; `loading`: the model itself is loaded by `from_pretrained`."""
    if "inner models" in place.lent:
        return
    place.lent.add("inner models")
    name_github(place)
    if loading or says(root, "from_pretrained"):  # else there is no reason to import transformers
        answer_transformers(place, device, loading=loading)
    if says(root, "okenizer.from_pretrained"):
        answer_tokenizers(place)
    if says(root, "create_model"):
        answer_timm(place)
