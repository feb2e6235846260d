"""Ways to get a module without weights from what a person has on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from analyzer.capture import Loaded
from analyzer.errors import AnalyzerError
from analyzer.foreign import check_folder
from analyzer.foreign.hub_cache import LENT
from analyzer.foreign.lfs_pointers import how_to_bring, is_pointer_file
from analyzer.foreign.model_folder import is_passed_over
from analyzer.foreign.other_formats import told_of_config, told_of_file, told_of_folder
from analyzer.ir.findings import Assumption
from analyzer.ir.plan import Plan
from analyzer.loaders.files.json_files import read_json
from analyzer.loaders.kinds import adapter_folder
from analyzer.loaders.limits import check_limits
from analyzer.loaders.remote_code.environment import environment
from analyzer.loaders.remote_code.importing import library_code
from analyzer.loaders.request import Loader, ModelRequest, Progress, silent


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that people call a model: what it is, by what it is known, and the module whose `load` reads it.

    `marker` is the name of a file in the folder, or the suffix of a file that is given itself; `keys` are those that
    the marker's JSON object must have.
    """

    what: str
    marker: str
    module: str
    keys: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Keys that it must not have: they say that it is another kind."""
    holds: type[dict[str, Any]] | type[list[Any]] = dict
    """What the marker's JSON has to be."""

    def fits(self, path: Path) -> bool:
        """Whether a folder or a file is of this kind, as far as its names tell."""
        if self.marker.startswith("."):
            return path.is_file() and path.suffix == self.marker
        return (path / self.marker).is_file()


LOADERS: Final = (
    Kind("a diffusers pipeline", "model_index.json", "diffusers_pipeline"),
    Kind("a sentence-transformers model", "modules.json", "sentence_transformers_folder", holds=list),
    Kind("a PEFT adapter", "adapter_config.json", "adapter_folder"),
    Kind(
        "a timm model", "config.json", "timm_folder", keys=("architecture", "pretrained_cfg"), without=("model_type",)
    ),
    Kind("a part of a diffusers pipeline", "config.json", "diffusers_component", keys=("_class_name",)),
    Kind("a transformers model", "config.json", "transformers_folder"),
    Kind("an exported program", ".pt2", "exported_program"),
    Kind("a Python file with build()", ".py", "python_file"),
)
"""Every kind, most specific first."""

_OTHERS: Final = ("adapter_folder", "exported_program", "timm_folder")
"""Modules of kinds that run no code which loads a model of transformers by name."""
_INDEX: Final = ".index.json"
_KINDS: Final = "give the folder that holds it, or a file *.pt2 or *.py"


def resolved(request: ModelRequest) -> ModelRequest:
    """What is really loaded, and under which plan: a folder that is an adapter alone means its base with it."""
    kind, settings = _kind(request.path, request.plan)
    if kind.module != "adapter_folder":
        return request
    base, plan = adapter_folder.find_base(request.path, settings, request.plan)
    return replace(request, path=base, plan=plan)


def load(
    path: Path | str,
    plan: Plan,
    *,
    trust_remote_code: bool = False,
    inputs_file: Path | str | None = None,
    stubs: Sequence[str] = (),
    progress: Progress | None = None,
) -> Loaded:
    """The model at `path` as loading it under `plan` would build it, with inputs, but without weights.

    Inside of a `environment` the model's code finds there what it is lent; else one lasts for the call, with `stubs`.
    """
    inputs = Path(inputs_file) if inputs_file is not None else None
    stood_in, tell = tuple(stubs), progress or silent
    return load_request(ModelRequest(Path(path), plan, trust_remote_code, inputs, stood_in, progress=tell))


def load_request(request: ModelRequest) -> Loaded:
    """The model of a request, by the loader of its kind; what the recipe left undone comes first of what is assumed."""
    kind, settings = _kind(request.path, request.plan)
    loader: Loader = import_module(f"analyzer.loaders.kinds.{kind.module}").load
    with (
        environment(request.plan.device, request.stubs, trust=request.trust_remote_code) as place,
        library_code(request.path, f"loading {kind.what}"),
    ):
        place.origins.append(replace(request.origin, settings=_config(request.path, settings)))
        if kind.module not in _OTHERS:
            from analyzer.loaders.inner_models import answer

            answer(place, request.path, request.plan.device, loading=kind.module != "python_file")
        loaded = replace(loader(request, settings), explains=place.explained)
    said = tuple(Assumption("recipe", note) for note in (*request.plan.notes, *_unprepared(kind, request.plan)))
    assumptions = (*said, *_not_read(request.path), *place.assumptions(), *loaded.assumptions)
    return replace(loaded, assumptions=assumptions, lacks=place.gone_without)


def _not_read(root: Path) -> Iterator[Assumption]:
    """The files of a vocabulary that are not there but as pointers, and settings that loading passes over.

    The index of weights is told with the weights.
    """
    files = sorted(root.iterdir()) if root.is_dir() else []
    for file in files:
        if file.suffix in LENT and not file.name.endswith(_INDEX) and is_pointer_file(file):
            yield Assumption(f"{file.name} is a git-lfs pointer, not the file", how_to_bring(file), file.name)
        elif is_passed_over(file):
            yield Assumption(f"{file.name} is no JSON", "from_pretrained goes on without it", file.name)


def _config(root: Path, settings: object) -> dict[str, object]:
    """What the config of a folder says, whatever its marker is."""
    if not isinstance(settings, dict) and (root / "config.json").is_file():
        settings = read_json(root / "config.json")
    return settings if isinstance(settings, dict) else {}


def _unprepared(kind: Kind, plan: Plan) -> list[str]:
    """What a recipe has done to a model, where it is one of a kind to which that is not done here."""
    done = plan.preparation
    if done is None or kind.module in ("transformers_folder", "adapter_folder"):
        return []
    parts = {"quantisation": done.quantization, "adapter": done.adapter, "casts": done.widened or done.trained_dtype}
    asked = ", ".join(name for name, value in parts.items() if value)
    return [f"{done.by}: {asked}: not applied to {kind.what}"] if asked else []


def _kind(root: Path, plan: Plan) -> tuple[Kind, Any]:
    """What is at the path, and what its marker holds, `settings`."""
    settings: Any = None
    _check(root)
    for kind in LOADERS:
        if kind.fits(root) and not (plan.adapter and _is_base(kind, root)):
            settings = read_json(root / kind.marker) if root.is_dir() else kind.holds()
            if not isinstance(settings, kind.holds):
                wanted = "list" if kind.holds is list else "object"
                raise AnalyzerError(f"{root / kind.marker} holds no JSON {wanted}", hint="download or save it again")
            if isinstance(settings, dict) and (other := told_of_config(root, settings)) is not None:
                raise other
            found = list(settings)
            if all(key in found for key in kind.keys) and not any(key in found for key in kind.without):
                check_limits(root / kind.marker, settings)
                return kind, settings
    if root.is_dir():
        raise told_of_folder(root)
    raise told_of_file(root) or AnalyzerError(f"{root} is a file, not a model folder", hint=_KINDS)


def _check(root: Path) -> None:
    if not root.exists():
        raise AnalyzerError(f"no such folder: {root}", hint="models are read from disk, never fetched from a hub")
    if root.is_dir():
        check_folder(root)


def _is_base(kind: Kind, root: Path) -> bool:
    """Whether a folder is the base of its own adapter: then the model in it is meant once the adapter is known."""
    return kind.module == "adapter_folder" and (root / "config.json").is_file()
