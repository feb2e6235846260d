"""The plan: one precision set-up as a frozen value, whatever it was read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias

from analyzer.errors import AnalyzerError
from analyzer.ir.dtypes import parse_autocast, short
from analyzer.ir.literal_types import (
    DEVICES,
    LINEAR_NAMES,
    MODEL_PARTS,
    SCOPES,
    STAGES,
    WRAP_POLICIES,
    Device,
    LinearNames,
    ModelPart,
    Scope,
    Stage,
    WrapPolicy,
)

FieldValue: TypeAlias = str | bool | Mapping[str, str] | None
"""What a flag or a proposal sets a field of a plan to."""
MERGED: Final = ("set", "input_dtypes")
"""Fields of a plan that a change adds to."""
TRAIN: Final = "train"
EVALUATE: Final = "eval"
"""The stages of a recipe, as `Stage` has them."""


@dataclass(frozen=True, slots=True)
class Wrap:
    """How FSDP cuts the model into units, and the dtypes of its mixed precision; "" where none is set."""

    version: int = 1
    policy: WrapPolicy = "transformer"
    """"transformer" (a unit for each module of `classes`), "size" (of at least `min_params` elements), or "none"."""
    classes: tuple[str, ...] = ()
    """Class names of the modules that become units; empty: those that the model's `_no_split_modules` names."""
    min_params: int = 0
    use_orig_params: bool = True
    param_dtype: str = ""
    reduce_dtype: str = ""
    buffer_dtype: str = ""
    output_dtype: str = ""

    def __post_init__(self) -> None:
        _check("policy", self.policy, WRAP_POLICIES)


@dataclass(frozen=True, slots=True)
class Engine:
    """What DeepSpeed does to a model: casts all of it to `dtype` ("" leaves it), and its other data types."""

    stage: int = 0
    dtype: str = ""
    communication_dtype: str = ""
    accumulation_dtype: str = ""
    master_dtype: str = ""
    """Of the copies that ZeRO's optimizer updates; "" is float32."""
    state_dtype: str = ""
    """Of the optimizer's states; "" is that of the masters."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a training set-up does around the model, as far as dtypes go."""

    mixed_precision: str = ""
    """Accelerate's: "bf16", "fp16", "fp8" or ""."""
    scaler: bool = False
    """Whether gradients are scaled by a GradScaler, as fp16 training does."""
    checkpointing: bool = False
    reentrant: bool | None = None
    """`use_reentrant` of gradient checkpointing; None is what the model asks for."""
    fsdp: Wrap | None = None
    deepspeed: Engine | None = None
    optimizer: str = ""
    """Name of the optimizer, where the set-up gives one or has a default."""
    learning_rate: float = 0.0
    """The highest one, where the set-up gives it."""
    beta2: float = 0.0
    """By what Adam's second moment decays in a step; 0 where the set-up leaves it to the optimizer."""
    compensated: bool = False
    """Whether the optimizer was asked to keep what rounding would lose: Kahan summation or stochastic rounding."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a recipe has a library do to the model that it loads, before anything runs, in the order of the fields."""

    by: str = ""
    """The library, as people call it."""
    quantization: dict[str, object] = field(default_factory=dict)
    """The `quantization_config` that `from_pretrained` gets; a checkpoint's own wins."""
    widened: tuple[ModelPart, ...] = ()
    """Parts that become float32."""
    kbit: bool = False
    """Whether peft's `prepare_model_for_kbit_training` runs."""
    narrowed: tuple[ModelPart, ...] = ()
    """Parts that get the dtype of loading again."""
    adapter: dict[str, object] = field(default_factory=dict)
    """The arguments of a PEFT config, with its `peft_type`: `get_peft_model` makes the adapter."""
    linear_names: LinearNames = ""
    """Which linear layers the adapter has besides, by whose rule."""
    input_gradients: bool = False
    """Whether `enable_input_require_grads` runs."""
    trained_dtype: str = ""
    """What everything that is trained is cast to."""
    kbit_trained_dtype: str = ""
    """The same, where bitsandbytes quantised the model."""
    float_head: bool = False
    """Whether the output layer runs in float32, as TRL's `cast_lm_head_to_fp32` has it."""

    def __post_init__(self) -> None:
        _check("linear_names", self.linear_names, LINEAR_NAMES)
        for part in (*self.widened, *self.narrowed):
            _check("part", part, MODEL_PARTS)


@dataclass(frozen=True, slots=True)
class Plan:
    """A precision set-up. Dtypes are names such as "bfloat16"; `device` says whose kernels are meant.

    `dtype` is what `from_pretrained(dtype=...)` gets (None: as the config says), `to` is `model.to(...)` after
    loading, `set` maps module paths or globs to dtypes, `input_dtypes` names of inputs to dtypes. `autocast` is
    "cuda:bfloat16" or the like, around what `scope` names. Raises AnalyzerError for an autocast, a scope, a device or a
    stage that is none.
    """

    device: Device = "cuda"
    dtype: str | None = None
    to: str | None = None
    set: dict[str, str] = field(default_factory=dict)
    input_dtypes: dict[str, str] = field(default_factory=dict)
    inputs_to: str | None = None
    """The dtype that a trainer casts every float input to, as the Trainer does under DeepSpeed."""
    autocast: str | None = None
    scope: Scope = "forward"
    train: bool = False
    """Whether a backward pass follows, from the model's loss, else from the mean of its outputs."""
    adapter: str | None = None
    """Folder of a PEFT adapter that is put into the model after loading."""
    autocast_adapter_dtype: bool = True
    """PEFT's own switch: half-precision adapter weights are widened to float32."""
    preparation: Preparation | None = None
    training: Training | None = None
    stage: Stage = ""
    """TRAIN or EVALUATE for the stages of one recipe."""
    read: tuple[str, ...] = ()
    """What the plan was read from, in the order in which later ones win."""
    notes: tuple[str, ...] = ()
    """What was read but does not act on a trace, in words: unknown keys, missing files, what is not applied."""

    def __post_init__(self) -> None:
        if self.autocast is not None:
            parse_autocast(self.autocast)
        _check("scope", self.scope, SCOPES)
        _check("device", self.device, DEVICES)
        _check("stage", self.stage, STAGES)

    def changed(self, fields: Mapping[str, FieldValue]) -> Plan:
        """The plan with these fields; those of MERGED are added to, the others replaced.

        >>> Plan(set={"vpm": "float32"}).changed({"set": {"llm": "float16"}, "to": "bfloat16"}).line()
        'device=cuda, to=bf16, set=(vpm=f32 llm=f16)'
        """
        values: dict[str, Any] = dict(fields)  # which name goes with which type is the plan's to check
        for key, value in fields.items():
            if key in MERGED and isinstance(value, Mapping):
                values[key] = {**getattr(self, key), **value}
        return replace(self, **values)

    def line(self) -> str:
        """The plan in one line: what it was read from, then all that it sets.

        >>> Plan(to="bfloat16", autocast="cuda:bfloat16", read=("args.json",)).line()
        'args.json: device=cuda, to=bf16, autocast=cuda:bfloat16, scope=forward'
        """
        facts = {key: value for key, value in asdict(self).items() if value and key not in ("read", "notes", "stage")}
        if self.autocast is None:
            facts.pop("scope")
        if self.adapter is None and not (self.preparation and self.preparation.adapter):
            facts.pop("autocast_adapter_dtype", None)
        said = ", ".join(f"{key}={_shown(value)}" for key, value in facts.items())
        return ": ".join(part for part in (" + ".join(self.read), said) if part)


LONGEST: Final = 256
"""Characters of a pattern: fnmatch looks for a `]` from every `[`."""


def names(pattern: str, name: str) -> bool:
    """Whether a key of `Plan.set`, a path or a glob, means a stored tensor: itself, or what holds it.

    >>> names("vpm", "vpm.pos_embed"), names("*.bias", "head.bias"), names("vpm", "vpm2.bias")
    (True, True, False)
    """
    return name == pattern or any(fnmatchcase(name, glob) for glob in (pattern, f"{pattern}.*"))


def _check(what: str, word: str, words: Sequence[str]) -> None:
    """Refuse a word that is none of its set: plan files and `--try` have words of their own."""
    if word not in words:
        raise AnalyzerError(f"unknown {what} '{word}'", hint=f"use one of {', '.join(filter(None, words))}")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item not in ("", None, False, (), {})}
        inside = " ".join(f"{key}={_shown(item)}" for key, item in kept.items())
        return f"({inside})"
    return " ".join(map(str, value)) if isinstance(value, (tuple, list)) else short(str(value))
