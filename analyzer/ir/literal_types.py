"""The closed sets of words that facts are told apart by: each is a type, and its values are counted here alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, TypeVar, get_args

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
"""Worst first."""

Stage: TypeAlias = Literal["", "train", "eval"]
"""The stages of a recipe: a training step, and an evaluation with the model as the trainer prepares it for one."""
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

Scope: TypeAlias = Literal["forward", "run"]
"""What a plan's autocast covers: the model's forward, as Accelerate does, or the whole run."""
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

Device: TypeAlias = Literal["cuda", "cpu", "mps", "xpu"]
"""The device whose kernels a plan means."""
DEVICES: Final[tuple[Device, ...]] = get_args(Device)
AUTOCAST_DEVICES: Final[tuple[Device, ...]] = ("cuda", "cpu", "xpu")
"""Those whose autocast is known."""

AutocastDtype: TypeAlias = Literal["bfloat16", "float16"]
AUTOCAST_DTYPES: Final[tuple[AutocastDtype, ...]] = get_args(AutocastDtype)

DtypeKind: TypeAlias = Literal["bool", "int", "float", "complex"]
DTYPE_KINDS: Final[tuple[DtypeKind, ...]] = get_args(DtypeKind)
"""Each one holds those before it."""

WrapPolicy: TypeAlias = Literal["transformer", "size", "none"]
"""How FSDP chooses its units: a module of the named classes, one of at least so many elements, or the whole model."""
WRAP_POLICIES: Final[tuple[WrapPolicy, ...]] = get_args(WrapPolicy)

LinearNames: TypeAlias = Literal["", "axolotl", "LLaMA-Factory", "LLaMA-Factory, vision too"]
"""By whose rule an adapter goes into all linear layers; "" is peft's own, by the settings alone."""
LINEAR_NAMES: Final[tuple[LinearNames, ...]] = get_args(LinearNames)

ModelPart: TypeAlias = Literal["norms", "norm vectors", "gates", "embeddings"]
"""Parts of a model that frameworks cast, told by names."""
MODEL_PARTS: Final[tuple[ModelPart, ...]] = get_args(ModelPart)

Phase: TypeAlias = Literal["", "backward", "recompute"]
"""What runs an operation: "" the forward pass, `backward()`, or what gradient checkpointing then runs once more."""
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

StoredKind: TypeAlias = Literal["parameter", "buffer", "input", "constant"]
"""Kinds of nodes that are not operations: tensors that the model holds or is given."""
STORED: Final[tuple[StoredKind, ...]] = get_args(StoredKind)

HeldKind: TypeAlias = Literal["parameter", "buffer"]
"""Kinds of tensors that a module holds."""
HELD: Final[tuple[HeldKind, ...]] = get_args(HeldKind)

Inserter: TypeAlias = Literal["", "autocast", "accelerate", "fsdp", "deepspeed"]
"""Who made a cast that nobody wrote; "" where somebody did."""
INSERTERS: Final[tuple[Inserter, ...]] = get_args(Inserter)

KeptCast: TypeAlias = Literal["", "stale", "no_grad"]
"""What is wrong with a cast that autocast kept and gives again: the weight was written since, or it has no gradient."""
KEPT_CASTS: Final[tuple[KeptCast, ...]] = get_args(KeptCast)

OriginKind: TypeAlias = Literal[
    "parameter", "buffer", "input", "constant", "cast", "autocast", "accelerate", "fsdp", "deepspeed"
]
"""Where a dtype comes from: a stored tensor, a cast, or who inserted the cast."""

ReasonKind: TypeAlias = Literal[
    "",
    "kept_in_fp32",
    "default_dtype",
    "built_by_constructor",
    "checkpoint",
    "cast_by_plan",
    "set_by_plan",
    "quantised",
    "adapter",
    "cast_by_library",
    "exported",
    "stopped",
]
"""How the dtype of a stored tensor arose, "" where only words are known; "stopped" is why a run did."""
REASONS: Final[tuple[ReasonKind, ...]] = get_args(ReasonKind)

WitnessKind: TypeAlias = Literal["", "cpu", "as on CPU", "recorded", "from source", "operator database"]
"""How a verdict is known: "" of no kernel, else asked of the CPU, or of another device recorded, or read."""
WITNESSES: Final[tuple[WitnessKind, ...]] = get_args(WitnessKind)

AssumptionKind: TypeAlias = Literal["", "input", "absent_input", "as_processed"]
"""Whether an assumption is a value that was made up for an input, or an input that was left out."""

StepKind: TypeAlias = Literal["forward", "prefill", "decode", "length", "image"]
STEPS: Final[tuple[StepKind, ...]] = get_args(StepKind)

ProposalKind: TypeAlias = Literal[
    "stored", "input", "source", "inputs file", "component", "cut", "recipe", "autocast", "model", "asked", "none"
]
"""What a proposal changes, the narrowest first; what a person asked for, and "none" for an error without any, last."""
PROPOSALS: Final[tuple[ProposalKind, ...]] = get_args(ProposalKind)

EffectKind: TypeAlias = Literal["stored", "input", "cast", "computed", "number"]
"""What has other values under a fix: a stored tensor, an input, a result, an operation, a number in the code."""
EFFECTS: Final[tuple[EffectKind, ...]] = get_args(EffectKind)

FailureKind: TypeAlias = Literal[
    "cannot be set",
    "could not be run",
    "stops the run early",
    "loses a write",
    "loses an imaginary part",
    "no proposal",
]
"""What keeps a proposal from being proved, in the words that people read."""

RealRunKind: TypeAlias = Literal["mends", "fails", "not run"]
"""What a change that cleared the trace does to a model that is really run; "not run" where that cannot be had."""

State: TypeAlias = Literal["new", "known", "suppressed"]
"""What a check makes of a finding."""

Word = TypeVar("Word", bound=str)


def one_of(words: Iterable[Word], word: object) -> Word:
    """The word as a member of its set; raises ValueError if it is none.

    >>> one_of(SEVERITIES, "note")
    'note'
    """
    for known in words:
        if known == word:
            return known
    raise ValueError(f"'{word}' is none of {', '.join(words)}")
