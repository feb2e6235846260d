"""Quantised checkpoints: puts into a built model what its quantizer would, with the real layers' dtypes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import nn

from analyzer.errors import AnalyzerError
from analyzer.ir.graph import Place
from analyzer.ir.plan import Plan
from analyzer.ir.reason import Reason
from analyzer.loaders.building import Built
from analyzer.loaders.checkpoint_names import match
from analyzer.loaders.files.checkpoint_headers import Stored
from analyzer.loaders.quantised.config import Quantisation as Quantisation
from analyzer.loaders.quantised.config import read as read
from analyzer.loaders.quantised.experts import replace_experts
from analyzer.loaders.quantised.layer import named
from analyzer.loaders.quantised.replaced_modules import chosen, skipped
from analyzer.loaders.quantised.schemes import Scheme
from analyzer.loaders.quantised.schemes import loads_in as loads_in


def quantise(built: Built, found: Quantisation, dtype: str, stored: Mapping[str, Stored], plan: Plan) -> Built:
    """The model with its linear layers replaced as loading replaces them; the same model if there are none.

    Raises AnalyzerError if the plan casts a model that transformers will not cast.
    """
    scheme, model = found.scheme, built.module
    if scheme is None:
        return built
    if plan.to is not None and scheme.frozen_dtype:
        raise AnalyzerError(f"model.to({plan.to}): {scheme.frozen_dtype}", hint="load it in that dtype with --dtype")
    reasons, places = dict(built.reasons), dict(built.places)
    names = sorted(reasons)
    for path, module in _replace(model, scheme, found, dtype).items():
        _tell(path, module, f"in {scheme.module} of {found.method}", inside(path, names), reasons, places)
    saved, unused = match(model, dict(stored))
    held = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    taken = consumed(unused, scheme, held)
    saved = {target: stored[name] for name, target in taken.items() if name in stored} | saved
    return replace(
        built, reasons=reasons, places=places, saved=saved, unused=[name for name in unused if name not in taken]
    )


def inside(path: str, names: Sequence[str]) -> Sequence[str]:
    """Of sorted names, those that lie in the module at a path. O(log n)."""
    return names[bisect_left(names, f"{path}.") : bisect_left(names, f"{path}{_AFTER_DOT}")]


_AFTER_DOT: Final = chr(ord(".") + 1)


def _tell(
    path: str, module: nn.Module, where: str, gone: Sequence[str], reasons: dict[str, Reason], places: dict[str, Place]
) -> None:
    """Write down of each tensor of a replaced module why it has its dtype, and the line that made the module.

    `gone` are the tensors of the module that it replaces.
    """
    place = places.get(f"{path}.weight") or next((places[name] for name in gone if name in places), None)
    for name in gone:
        reasons.pop(name, None)
    for leaf, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        made = str(tensor.dtype).removeprefix("torch.")
        reasons[f"{path}.{leaf}"] = Reason(f"{made} {where}", "quantised")
        if place is not None:
            places[f"{path}.{leaf}"] = place


def consumed(names: Iterable[str], scheme: Scheme, held: set[str]) -> dict[str, str]:
    """Names in a checkpoint that belong to a packed weight -> the tensor of the model that they load into."""
    found = {}
    for name in names:
        for suffix in scheme.names:
            path, matched, rest = name.rpartition(f".{suffix}")
            if matched and not rest:
                whole = suffix.removesuffix("_blocks").removesuffix("_scales")
                target = next(
                    (f"{path}.{leaf}" for leaf in ("weight", "qweight", whole) if f"{path}.{leaf}" in held), ""
                )
                if target:
                    found[name] = target
                    break
    return found


def _replace(model: Any, scheme: Scheme, found: Quantisation, dtype: str) -> dict[str, Any]:
    if not scheme.module:
        return {}
    made: dict[str, Any] = {}
    if scheme.module == "FP8Linear":
        made = replace_experts(model, scheme, found.settings, skipped(model, scheme, found.settings))
    for path in chosen(model, scheme, found.settings):
        made[path] = named(scheme.module)(scheme, model.get_submodule(path), found.settings, dtype)
        model.set_submodule(path, made[path])
    model.is_quantized = True
    return made
