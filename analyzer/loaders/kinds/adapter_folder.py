"""A folder that holds a PEFT adapter alone: finds its base beside it, and is then that base with the adapter put in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from analyzer.capture import Loaded
from analyzer.errors import AnalyzerError
from analyzer.foreign import is_folder
from analyzer.foreign.hub_cache import cached, read_id
from analyzer.ir.plan import Plan
from analyzer.loaders.request import ModelRequest
from analyzer.plans.adapter_bases import candidates, in_reach


def find_base(root: Path, settings: dict[str, Any], plan: Plan) -> tuple[Path, Plan]:
    """The folder of the adapter's base model, and the plan with the adapter.

    It is the folder itself if that holds a model as well, else the local path that the adapter names, else a folder of
    that name beside it or above. Raises AnalyzerError if there is none, or only one that lies elsewhere.
    """
    if plan.adapter:
        raise AnalyzerError(f"{root} is itself a PEFT adapter", hint="give the folder of its base model with --adapter")
    said = settings.get("base_model_name_or_path")
    name = said if isinstance(said, str) else ""
    own = (root / "config.json").is_file()
    tried = [root] if own else _tried(root, name)
    found = [folder for folder in tried if is_folder(folder) and (own or folder.resolve() != root.resolve())]
    if near := next((folder for folder in found if own or in_reach(root, folder)), None):
        return near, replace(plan, adapter=str(root))
    hint = f"give the folder of the base model, and this one with --adapter {root}"
    if found:
        raise AnalyzerError(
            f"the base of {root}, {found[0]}, lies elsewhere: an adapter opens no such folder", hint=hint
        )
    if not name:
        raise AnalyzerError(f"{root / 'adapter_config.json'} names no base model", hint=hint)
    what = f"the base of {root}, {name}, is neither there nor beside it as {Path(name).name}"
    if (wanted := read_id(name)) is not None and "/" in wanted.name:
        hint = f"{wanted.download()}; or give its folder, and this one with --adapter"
        raise AnalyzerError(f"{what}, nor in the Hugging Face cache", hint=hint)
    raise AnalyzerError(what, hint=hint)


def _tried(root: Path, name: str) -> list[Path]:
    """Where the base may lie; in the local cache, its snapshot by its own path."""
    wanted = read_id(name)
    place = cached(wanted) if wanted is not None else None
    found = (*candidates(root, name), *((place.resolve(),) if place is not None else ()))
    return list(dict.fromkeys(found)) if name else []


def load(request: ModelRequest, settings: dict[str, object]) -> Loaded:
    """The base model with the adapter put in."""
    from analyzer import loaders  # which chooses this one, and chooses again

    base, plan = find_base(request.path, settings, request.plan)
    return loaders.load_request(replace(request, path=base, plan=plan))
