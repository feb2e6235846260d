"""Builds one model of diffusers without weights as its `from_pretrained` leaves it; a folder may hold one alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import hidden, inventory_of
from analyzer.errors import AnalyzerError, suggest
from analyzer.inputs import override
from analyzer.ir.findings import Assumption
from analyzer.ir.reason import Reason, kept_in_fp32
from analyzer.loaders.building import Built, ConstructorLines, retype, to_meta
from analyzer.loaders.checkpoint_names import match
from analyzer.loaders.class_names import is_name
from analyzer.loaders.constructor import construct_own
from analyzer.loaders.default_dtype import default_dtype
from analyzer.loaders.files.checkpoint_headers import read_headers
from analyzer.loaders.inputs_file import read_inputs_file
from analyzer.loaders.plan_application import apply_plan
from analyzer.loaders.remote_code.importing import plain_path, user_code
from analyzer.loaders.request import ModelRequest
from analyzer.loaders.unsupported_plan import refuse

FILES: Final = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin", "model.safetensors")
"""Names of weights that diffusers writes."""
_STAND_INS: Final = ("Tokenizer", "TokenizerFast", "Processor", "FeatureExtractor", "ProcessorFast")


def load(request: ModelRequest, settings: dict[str, object]) -> Loaded:
    """The model whose config.json names its class; needs an inputs file where the usual inputs cannot be made."""
    root, plan = request.path, request.plan
    refuse(plan, "a part of a diffusers pipeline", "adapter")
    cls = find_class("diffusers", settings["_class_name"], root)
    built = build_part(cls, root, settings, plan.dtype)
    reasons = apply_plan(built.module, plan, built.reasons)
    run = None
    notes: list[Assumption] = []
    if request.inputs_file is not None:
        import inspect

        values, run = read_inputs_file(request.inputs_file, settings, inspect.signature(built.module.forward))
    else:
        values = _inputs(built.module, root, getattr(torch, plan.to or plan.dtype or "float32"))
        notes = [Assumption.of_input(name, f"{value.dtype} {tuple(value.shape)}"[6:]) for name, value in values.items()]
    return Loaded(
        module=built.module,
        name=cls.__name__,
        path=str(root),
        inputs=override(values, plan.input_dtypes),
        run=run,
        reasons=reasons,
        places=built.places,
        root=plain_path(root),
        assumptions=tuple(notes),
        inventory=inventory_of(built.module, reasons=reasons, places=built.places, saved=saved_of(built)),
    )


def build_part(cls: Any, root: Path, settings: dict[str, Any], dtype: str | None) -> Built:
    """`cls.from_pretrained(root, torch_dtype=dtype)` without weights; None is diffusers' own default, float32.

    Tensors that are saved take the dtype that is given, but for those that the class keeps in float32; others have
    what the constructor makes with it as the default dtype.
    """
    stored = read_headers(root, FILES).tensors
    lines = ConstructorLines(plain_path(root))
    wanted = getattr(torch, dtype or "float32")
    with user_code(root, f"building {cls.__name__}"), lines.watch(), default_dtype(wanted):
        module: nn.Module = construct_own(lambda: cls.from_config(settings))
    to_meta(module)
    module.eval()
    call = f"from_pretrained(torch_dtype={dtype})" if dtype else "from_pretrained()"
    reasons, kept, unsaved = {}, set(getattr(cls, "_keep_in_fp32_modules", None) or ()), set(hidden(module))
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        built = str(tensor.dtype).removeprefix("torch.")
        reasons[name] = Reason(f"made in {built} by the constructor under {call}", "built_by_constructor")
        if name in unsaved or not tensor.is_floating_point():
            continue
        wide = bool(kept & set(name.split(".")))
        given = Reason(f"dtype of {call}", "default_dtype")
        reasons[name] = kept_in_fp32("_keep_in_fp32_modules") if wide else given
        if dtype is not None:
            retype(module, name, torch.float32 if wide else wanted)
    saved, unused = match(module, stored)
    return Built(module, reasons, lines.by_name(module), saved, unused)


def saved_of(built: Built) -> dict[str, tuple[str, str]]:
    """What an inventory wants to know of a checkpoint."""
    return {name: (one.dtype, one.shard) for name, one in built.saved.items()}


def find_class(library: object, name: object, root: Path) -> Any:
    """A class that a pipeline names, of diffusers, of one of its pipelines, or of transformers.

    Raises AnalyzerError for every other library, and for what is no model, no pipeline and no part of one.
    """
    if not (is_name(library) and is_name(name)):
        raise AnalyzerError(f"{root} names {library!r}.{name!r}, which is no class", hint="download it again")
    if not find_spec("diffusers"):
        raise AnalyzerError(
            f"{root} needs the package diffusers, which is not installed", hint="pip install 'diffusers>=0.30'"
        )
    with quiet():
        import diffusers
        import transformers
        from diffusers.configuration_utils import ConfigMixin

        place: Any = {"diffusers": diffusers, "transformers": transformers}.get(str(library))
        if place is None and (place := getattr(diffusers.pipelines, str(library), None)) is None:
            raise AnalyzerError(
                f"{root} names {library}.{name}: only classes of diffusers and transformers are loaded",
                hint="a pipeline with parts of its own is not traced",
            )
        found = getattr(place, str(name), None)
        known = (torch.nn.Module, ConfigMixin, diffusers.DiffusionPipeline)
        if isinstance(found, type) and not issubclass(found, known) and not is_prepared(str(name)):
            raise AnalyzerError(
                f"{root} names {library}.{name}, which is no model, scheduler or processor", hint="download it again"
            )
    if not isinstance(found, type):
        raise AnalyzerError(
            f"{root} names {library}.{name}, which diffusers {diffusers.__version__} does not have",
            hint=suggest(str(name), [one for one in dir(diffusers) if one[0].isupper()]),
        )
    return found


def is_prepared(name: str) -> bool:
    """Whether a class prepares text or pictures: a stand-in does its work."""
    return name.endswith(_STAND_INS)


@contextmanager
def quiet() -> Iterator[None]:
    """While this lasts, neither diffusers nor transformers logs what is no error."""
    logged = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logged)


def _inputs(module: Any, root: Path, dtype: torch.dtype) -> dict[str, Any]:
    """What a denoiser or a decoder takes, as its config says it."""
    import inspect

    config, taken = module.config, inspect.signature(module.forward).parameters
    size = config.get("sample_size") or 32
    height, width = (size, size) if isinstance(size, int) else size
    image = (1, int(config.get("in_channels") or 4), height, width)
    hints = (1, int(config.get("conditioning_channels") or 3), 8 * height, 8 * width)
    text = (1, 77, config.get("cross_attention_dim") or config.get("joint_attention_dim") or 768)
    shapes = {"sample": image, "controlnet_cond": hints, "encoder_hidden_states": text}
    if "hidden_states" in taken and config.get("patch_size") and "img_ids" not in taken:
        shapes["hidden_states"] = image
        shapes["pooled_projections"] = (1, config.get("pooled_projection_dim") or 768)
    made: dict[str, Any] = {}
    for name, parameter in taken.items():
        if name in shapes:
            made[name] = torch.zeros(shapes[name], dtype=dtype)
        elif name == "timestep":
            made[name] = torch.ones(1)
        elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            raise AnalyzerError(
                f"cannot make up the argument '{name}' of {type(module).__name__}.forward in {root}",
                hint="give the folder of the whole pipeline, or inputs with --inputs FILE",
            )
    return made
