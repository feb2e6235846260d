"""Loads a sentence-transformers folder: the encoder without weights, and what the package puts behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from torch import nn

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of
from analyzer.capture.patching import patched
from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Assumption
from analyzer.ir.reason import Reason
from analyzer.loaders.attention_packages import lend
from analyzer.loaders.building import Built, build, to_meta
from analyzer.loaders.class_names import check_activation, check_part
from analyzer.loaders.classes import choose
from analyzer.loaders.constructor import construct_own
from analyzer.loaders.files.checkpoint_headers import read_headers
from analyzer.loaders.files.json_files import read_settings
from analyzer.loaders.inputs_file import inputs_of
from analyzer.loaders.kinds import transformers_folder
from analyzer.loaders.kinds.diffusers_component import quiet, saved_of
from analyzer.loaders.limits import check_file
from analyzer.loaders.plan_application import apply_plan
from analyzer.loaders.remote_code.environment import current
from analyzer.loaders.remote_code.importing import import_class, plain_path, user_code
from analyzer.loaders.request import ModelRequest, silent
from analyzer.loaders.unsupported_plan import refuse

_PACKAGE: Final = "sentence_transformers"
_FIRST: Final = "Transformer"
_RESULT: Final = "sentence_embedding"


def load(request: ModelRequest, settings: list[dict[str, object]]) -> Loaded:
    """The model as `SentenceTransformer(root)` builds it; `plan.dtype` is its `model_kwargs={"dtype": ...}`.

    Without the package the encoder alone is traced, and that is said. Raises AnalyzerError if there is no encoder.
    """
    root, plan = request.path, request.plan
    refuse(plan, "a sentence-transformers model", "adapter")
    kinds = _kinds(root, settings, trust=request.trust_remote_code)
    folder = part_folder(root, settings[0])
    config_file = folder / "config.json"
    _check_sizes(root, settings)
    if not find_spec(_PACKAGE):
        inside = replace(request, path=folder, progress=silent)
        loaded = transformers_folder.load(inside, read_settings(config_file))
        return _with(loaded, _untraced(kinds))
    inner_settings = read_settings(config_file)
    cls, config, notes = choose(folder, inner_settings, trust=request.trust_remote_code)
    stored = read_headers(folder).tensors
    dtype, assumed = transformers_folder.dtype_of(config, plan, stored, inner_settings)
    lend(config, plan.device, current())
    with quiet():
        encoder = build(_base(cls, config), config, dtype, folder, stored, current().note)
        first = next((str(p.dtype).removeprefix("torch.") for p in encoder.module.parameters()), "float32")
        others = [
            _behind(root, kind, part_folder(root, one), trust=request.trust_remote_code)
            for kind, one in zip(kinds, settings[1:], strict=True)
        ]
    inner = "model" if int(version("sentence-transformers").split(".")[0]) >= 6 else "auto_model"
    module = _chain(encoder.module, inner, others, list(map(str, range(len(settings)))))
    reasons = {f"0.{inner}.{name}": reason for name, reason in encoder.reasons.items()}
    for name, _ in (*module.named_parameters(), *module.named_buffers()):
        if name not in reasons:
            text = f"cast by SentenceTransformer to {first}, the dtype of the encoder's first parameter"
            reasons[name] = Reason(text, "cast_by_library")
    reasons = apply_plan(module, plan, reasons)
    places = {f"0.{inner}.{name}": place for name, place in encoder.places.items()}
    inputs = inputs_of(encoder.module, config, request, plan.to or dtype)
    given = {name: value for name, value in inputs.values.items() if name not in inputs.spare}
    return Loaded(
        module=module,
        name="SentenceTransformer",
        path=str(root),
        inputs=given,
        run=inputs.run,
        reasons=reasons,
        places=places,
        root=plain_path(root),
        assumptions=(*notes, *assumed, *inputs.assumptions),
        inventory=inventory_of(module, reasons=reasons, places=places, saved=_saved(encoder, inner)),
    )


def _kinds(root: Path, settings: list[Any], *, trust: bool) -> list[str]:
    """The dotted names of the modules behind the encoder. Raises AnalyzerError for other lists than of modules."""
    if not all(isinstance(one, dict) for one in settings):
        raise AnalyzerError(f"{root / 'modules.json'} is no list of modules", hint="save the model again")
    if not settings or not str(settings[0].get("type", "")).endswith(f".{_FIRST}"):
        raise AnalyzerError(f"{root / 'modules.json'} does not begin with a {_FIRST}", hint="only these are traced")
    return [check_part(root, one, trust=trust) for one in settings[1:]]


def _check_sizes(root: Path, settings: list[dict[str, object]]) -> None:
    for part in settings:
        check_file(part_folder(root, part) / "config.json")


class _Encoder(nn.Module):
    """The encoder as the package's Transformer calls it: what it is given, and its first output beside that."""

    def __init__(self, inner: str, encoder: nn.Module) -> None:
        super().__init__()
        self._inner = inner
        self.add_module(inner, encoder)

    def forward(self, features: dict[str, object]) -> dict[str, Any]:
        result = self.get_submodule(self._inner)(**features, return_dict=True)
        return {**features, "token_embeddings": result[0]}


def _chain(encoder: nn.Module, inner: str, others: Sequence[nn.Module], names: Sequence[str]) -> nn.Module:
    first = next(iter(encoder.parameters()), None)
    parts = [_Encoder(inner, encoder), *others]

    def forward(self: object, **features: object) -> Any:
        for part in parts:
            features = part(features)
        return features.get(_RESULT, features)

    made: nn.Module = type("SentenceTransformer", (nn.Module,), {"forward": forward})()
    for name, part in zip(["0", *names[1:]], parts, strict=True):
        made.add_module(name, part)
    for part in others:
        part.to(first.dtype if first is not None else None)
    return made.eval()


def _base(cls: type, config: Any) -> object:
    """What AutoModel makes of the config, whatever class its `architectures` name; remote code's own class stays."""
    import transformers

    if not cls.__module__.startswith("transformers."):
        return cls
    found = transformers.AutoModel._model_mapping[type(config)]
    return found[0] if isinstance(found, (tuple, list)) else found


def part_folder(root: Path, entry: dict[str, object]) -> Path:
    """Where a module lies, in the model's folder. Raises AnalyzerError for a path that leads out of it."""
    path = entry.get("path") or ""
    if not isinstance(path, str) or Path(path).is_absolute() or ".." in Path(path).parts or "\0" in path:
        raise AnalyzerError(f"{root / 'modules.json'} names {path!r}, no folder of the model", hint="save it again")
    return root / path


def _behind(root: Path, kind: str, folder: Path, *, trust: bool) -> nn.Module:
    """One of the modules behind the encoder, by the package's own code, but for the weights."""
    own = not kind.startswith(f"{_PACKAGE}.")
    if (config := folder / "config.json").is_file():
        check_activation(config, read_settings(config), trust=trust)
    with user_code(root, f"importing {kind}"):
        base = import_module(_PACKAGE)
        module, _, name = kind.rpartition(".")
        found = import_class(root, kind) if own else getattr(import_module(module), name)
        if not (isinstance(found, type) and issubclass(found, nn.Module)):
            raise AnalyzerError(f"{root / 'modules.json'} names {kind}, which is no module", hint="save it again")
        cls: Any = found
        holder = next((one for one in cls.__mro__ if "load_torch_weights" in vars(one)), None)

        def unread(*_: object, model: object = None, **__: object) -> object:
            return model

        below = folder.relative_to(root).as_posix() if folder != root else ""
        arguments: dict[str, Any] = {"subfolder": below, "local_files_only": True}
        if not hasattr(base, "Module") and holder is None:  # before 5.0: load(folder)
            made = construct_own(lambda: cls.load(str(folder)))
        else:
            with patched(
                holder, "load_torch_weights", unread,
                what="load_torch_weights of a sentence_transformers module", why="Weights are never read.",
                versions="sentence-transformers 5",
            ):  # fmt: skip
                made = construct_own(lambda: cls.load(str(root), **arguments))
    to_meta(made)
    return made  # type: ignore[no-any-return]


def _saved(encoder: Built, inner: str) -> dict[str, tuple[str, str]]:
    return {f"0.{inner}.{name}": fact for name, fact in saved_of(encoder).items()}


def _untraced(kinds: Sequence[str]) -> Assumption:
    names = ", ".join(kind.rpartition(".")[2] for kind in kinds)
    return Assumption(f"{names} behind the encoder", "not traced: pip install sentence-transformers", "modules.json")


def _with(loaded: Loaded, said: Assumption) -> Loaded:
    return replace(loaded, assumptions=(said, *loaded.assumptions))
