"""Loads a folder as `save_pretrained` writes it: config, class, dtype, module, inputs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from analyzer.capture import Loaded
from analyzer.capture.module_inventory import inventory_of
from analyzer.ir.dtypes import is_float
from analyzer.ir.findings import Assumption
from analyzer.ir.plan import Plan, Preparation
from analyzer.loaders.files.checkpoint_headers import Stored, first_float, read_headers
from analyzer.loaders.limits import check_limits
from analyzer.loaders.request import ModelRequest

if TYPE_CHECKING:
    from analyzer.loaders.building import Built


def load(request: ModelRequest, settings: dict[str, object]) -> Loaded:
    """Build the model that `root` describes; `settings` is its config.json."""
    root, plan = request.path, request.plan
    say = request.progress
    say("reading config and checkpoint headers")
    checkpoint = read_headers(root)
    stored = checkpoint.tensors
    from analyzer.loaders.attention_packages import lend, lend_named
    from analyzer.loaders.building import build
    from analyzer.loaders.checkpoint_names import reshaped
    from analyzer.loaders.classes import choose
    from analyzer.loaders.inputs_file import inputs_of
    from analyzer.loaders.plan_application import apply_plan
    from analyzer.loaders.quantised import loads_in, quantise, read
    from analyzer.loaders.remote_code.environment import current
    from analyzer.loaders.remote_code.importing import plain_path

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(root, _quantised(settings, plan), plan.device)
        lend_named(settings, plan.device, current())
        cls, config, notes = choose(root, settings, trust=request.trust_remote_code)
        declared = _named(config) or _in_json(settings) or ""
        dtype, assumed = dtype_of(config, plan, stored, settings)
        if found.scheme is not None:
            overruled = loads_in(found.scheme, dtype, named=not assumed, device=plan.device)
            dtype, assumed = overruled, assumed if overruled == dtype else []
        say(f"building {cls.__name__}")
        lend(config, plan.device, current())
        plain = build(cls, config, dtype, root, stored, current().note)
        built = quantise(plain, found, dtype, stored, plan)
        other_shapes = {} if found.scheme else reshaped(built.module, built.saved)
        unused = {name: stored[name].dtype for name in built.unused}
        base = built.module
        built, remarks, fresh = _prepared(built, request, dtype)
        notes = [*notes, *remarks]
        reasons = apply_plan(built.module, plan, built.reasons)
        inputs = inputs_of(base, config, request, plan.to or dtype)
    return Loaded(
        module=built.module,
        name=type(built.module).__name__,
        path=str(root),
        inputs=inputs.values,
        run=inputs.run,
        reasons=reasons,
        places=built.places,
        root=plain_path(root),
        assumptions=(*notes, *checkpoint.remarks, *assumed, *found.notes, *inputs.assumptions),
        spare=inputs.spare,
        invented=(plan.to or dtype) if inputs.invented else "",
        processed=inputs.processed,
        text_only=inputs.text_only,
        inventory=inventory_of(
            built.module,
            reasons=reasons,
            places=built.places,
            saved={name: (one.dtype, one.shard) for name, one in built.saved.items()},
            declared=declared,
            loaded=dtype,
            unused=unused,
            other_shapes=other_shapes,
            made_anew=(*(getattr(built.module, "_keys_to_ignore_on_load_missing", None) or ()), *fresh),
            has_checkpoint=checkpoint.complete,
            tokens=inputs.tokens,
            longest=inputs.longest,
        ),
    )


def _prepared(built: Built, request: ModelRequest, dtype: str) -> tuple[Built, list[Assumption], tuple[str, ...]]:
    """The model with the adapter put in and what the recipe has done to it, notes, and what is made anew."""
    from analyzer.loaders.adapters import inject
    from analyzer.loaders.frameworks.preparation import after_adapter, before_adapter
    from analyzer.loaders.remote_code.importing import plain_path

    done = request.plan.preparation or Preparation()
    notes: list[Assumption] = []
    fresh: tuple[str, ...] = ()
    built = before_adapter(built, done, dtype)
    if request.plan.adapter or done.adapter:
        request.progress("putting the adapter in")
        built, notes, fresh = inject(built, request.plan, plain_path(request.path))
    return after_adapter(built, done), notes, fresh


def _quantised(settings: Mapping[str, object], plan: Plan) -> Mapping[str, object]:
    """The settings of config.json with the quantisation of the recipe, unless they have one of their own."""
    asked = plan.preparation.quantization if plan.preparation is not None else {}
    check_limits("the recipe", {"quantization_config": asked})
    return {"quantization_config": asked, **settings} if asked else settings


def dtype_of(
    config: object, plan: Plan, stored: dict[str, Stored], settings: Mapping[str, object]
) -> tuple[str, list[Assumption]]:
    """The dtype of from_pretrained: the plan's, else the config's, else the checkpoint's, else a part's config's.

    A config class may drop what config.json, `settings`, says. Then the weights decide, which are of that dtype
    where they are not here.
    """
    if plan.dtype is not None and plan.dtype != "auto":
        return plan.dtype, []
    parts = [getattr(config, key, None) for key in getattr(config, "sub_configs", None) or ()]
    found = _named(config) or first_float(stored)
    said = _in_json(settings) if found is None else None
    if said is not None:
        return said, [Assumption(f"{type(config).__name__} drops the dtype in config.json", said, "config.json")]
    found = found or next((d for d in map(_named, parts) if d), None)
    if found is not None:
        return found, []
    return "float32", [
        Assumption("neither config.json nor a checkpoint header names a dtype", "float32", "config.json")
    ]


def _in_json(settings: Mapping[str, object]) -> str | None:
    said = (str(settings.get(key)).removeprefix("torch.") for key in ("dtype", "torch_dtype"))
    return next((name for name in said if is_float(name)), None)


def _named(config: object) -> str | None:
    from analyzer.loaders.versions.installed import installed

    for attribute in dict.fromkeys(("dtype", installed.FLOAT_ATTRIBUTE)):  # to read another one warns on stderr
        value = getattr(config, attribute, None) if config is not None else None
        name = str(value).removeprefix("torch.")
        if value is not None and is_float(name):
            return name
    return None
