"""Makes the plan of each stage from facts, as the installed Trainer, accelerate and DeepSpeed would act on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.ir.dtypes import parse_dtype
from analyzer.ir.literal_types import WRAP_POLICIES
from analyzer.ir.plan import EVALUATE, TRAIN, Engine, Plan, Training, Wrap
from analyzer.plans.facts import ABSENT, AUTO, Facts, fact
from analyzer.plans.optimizers import DEFAULT
from analyzer.plans.preparation import keeps_adapter_dtype, preparation

_DTYPES: Final = {"bf16": "bfloat16", "fp16": "float16", "fp8": "bfloat16", "no": ""}
"""Accelerate's `mixed_precision` -> the dtype of its autocast and of FSDP's policy (fp8 rests on bf16)."""


def resolve(facts: Facts, device: str | None = None) -> tuple[Plan, ...]:
    """One plan for a training step and, where a Trainer is meant, one for `evaluate()`.

    Raises AnalyzerError for what the libraries refuse.
    """
    said = facts.values
    device = device or ("cpu" if said.get("use_cpu") else "cuda")
    _refuse(said)
    precision, full = _precision(said), _full_eval(said)
    engine, notes = _engine(said, precision, full)
    wrap = _wrap(said, precision)
    casts = _trainer_casts_inputs(said, engine)
    common = Plan(
        dtype=parse_dtype(str(said["load_dtype"])) if said.get("load_dtype") else None,
        to=fact(said, "cast", str, None),
        inputs_to=casts,
        autocast=_autocast(said, device, precision, engine, wrap),
        autocast_adapter_dtype=(
            fact(said, "autocast_adapter_dtype", bool, True) and not keeps_adapter_dtype(said, engine)
        ),
        preparation=preparation(said, engine, wrap),
        read=facts.read,
        notes=(*facts.notes, *notes),
    ).changed({"device": device})
    scaler = precision == "fp16" and device != "cpu" and engine is None
    checkpointing = bool(said.get("checkpointing"))
    around = Training(mixed_precision="" if precision == "no" else precision, fsdp=wrap, deepspeed=engine)
    train = replace(
        common,
        train=True,
        stage=TRAIN,
        training=replace(
            around,
            scaler=scaler,
            checkpointing=checkpointing,
            reentrant=fact(said, "reentrant", bool, None) if checkpointing else None,
            optimizer=fact(said, "optimizer", str, DEFAULT if said.get("trainer") else ""),
            learning_rate=fact(said, "optimizer.learning_rate", float, 0.0),
            beta2=fact(said, "optimizer.beta2", float, 0.0),
            compensated=bool(said.get("optimizer.compensated")),
        ),
    )
    if not said.get("trainer"):
        return (train,)
    # Trainer.evaluation_loop: model.to(dtype) under *_full_eval, unless training is going on; autocast stays around
    evaluate = replace(common, to=full or common.to, stage=EVALUATE, training=around)
    return (train, evaluate)


def _refuse(said: Mapping[str, object]) -> None:
    """As TrainingArguments._validate_args and trainer_config_finalize do."""
    if said.get("bf16") and said.get("fp16"):
        raise AnalyzerError("the recipe sets bf16 and fp16, but the Trainer takes one", hint="drop one of them")
    if said.get("bf16_full_eval") and said.get("fp16_full_eval"):
        raise AnalyzerError("the recipe sets bf16_full_eval and fp16_full_eval", hint="drop one of them")
    for name in ("bf16", "fp16") if said.get("trainer") and said.get("deepspeed") else ():
        wanted = bool(said.get(name) or said.get(f"{name}_full_eval"))
        given = said.get(f"deepspeed.{name}")
        if given not in (None, AUTO, ABSENT) and given != wanted:
            raise AnalyzerError(
                f"DeepSpeed's {name}.enabled={str(given).lower()}, but the TrainingArguments say "
                f"{name}={str(wanted).lower()}, which the Trainer refuses",
                hint=f'write "enabled": "auto" or make {name} agree',
            )
    other = {"bf16": "fp16", "fp8": "fp16", "fp16": "bf16"}.get(_precision(said))
    if said.get("deepspeed") and other is not None and said.get(f"deepspeed.{other}") is True:
        raise AnalyzerError(  # DeepSpeedPlugin.set_mixed_precision
            f"mixed_precision is {_precision(said)}, but DeepSpeed's {other}.enabled=true, which accelerate refuses",
            hint='write "enabled": "auto" or make the two agree',
        )


def _precision(said: Mapping[str, object]) -> str:
    """TrainingArguments.__post_init__: its own fp16, then its own bf16, else what accelerate's launcher says."""
    return "fp16" if said.get("fp16") else "bf16" if said.get("bf16") else str(said.get("launcher", "no"))


def _full_eval(said: Mapping[str, object]) -> str | None:
    return "float16" if said.get("fp16_full_eval") else "bfloat16" if said.get("bf16_full_eval") else None


def _engine(said: Mapping[str, object], precision: str, full: str | None) -> tuple[Engine | None, tuple[str, ...]]:
    if not said.get("deepspeed"):
        return None, ()
    on = _halves(said, precision, full)
    decided = bool(said.get("trainer")) or "launcher" in said
    auto = [name for name in ("bf16", "fp16") if said.get(f"deepspeed.{name}") == AUTO]
    notes = () if decided or not auto else (
        f"DeepSpeed's {' and '.join(auto)} 'auto': read as off: give the TrainingArguments as another --recipe",
    )  # fmt: skip
    dtype = "" if said.get("deepspeed.autocast") else "bfloat16" if on["bf16"] else "float16" if on["fp16"] else ""
    return Engine(
        stage=fact(said, "deepspeed.stage", int, 0),
        dtype=dtype,
        communication_dtype=fact(said, "deepspeed.communication_dtype", str, ""),
        accumulation_dtype=fact(said, "deepspeed.accumulation_dtype", str, ""),
        master_dtype=fact(said, "deepspeed.master_dtype", str, ""),
        state_dtype=fact(said, "deepspeed.state_dtype", str, ""),
    ), notes


def _halves(said: Mapping[str, object], precision: str, full: str | None) -> dict[str, object]:
    """Which of DeepSpeed's sections bf16 and fp16 is on, once those that are "auto" or absent are filled in."""
    on = {name: said.get(f"deepspeed.{name}", False) for name in ("bf16", "fp16")}
    # set_mixed_precision of accelerate's plugin gives a configuration without the section one that is on
    added = said.get("launcher") or said.get("trainer")
    mixed = {"bf16": precision in ("bf16", "fp8"), "fp16": precision == "fp16"}
    on = {name: bool(added and mixed[name]) if value == ABSENT else value for name, value in on.items()}
    meant = {"bf16": mixed["bf16"] or full == "bfloat16", "fp16": mixed["fp16"] or full == "float16"}
    return {name: meant[name] if value == AUTO else value for name, value in on.items()}


def _trainer_casts_inputs(said: Mapping[str, object], engine: Engine | None) -> str | None:
    """Trainer._prepare_input: float inputs to what HfTrainerDeepSpeedConfig takes for the engine's dtype.

    It looks before accelerate adds a section that the file does not have, and takes float32 then.
    """
    if engine is None or not said.get("trainer"):
        return None
    name = {"bfloat16": "bf16", "float16": "fp16"}.get(engine.dtype)
    return "float32" if name is None or said.get(f"deepspeed.{name}") == ABSENT else engine.dtype


def _wrap(said: Mapping[str, object], precision: str) -> Wrap | None:
    """FullyShardedDataParallelPlugin.set_mixed_precision: all dtypes of the policy are that of mixed_precision."""
    if not said.get("fsdp"):
        return None
    version, dtype = fact(said, "fsdp.version", int, 1), _DTYPES[precision]
    return Wrap(
        version=version,
        policy=next((one for one in WRAP_POLICIES if one == said.get("fsdp.policy")), "transformer"),
        classes=fact(said, "fsdp.classes", tuple, ()),
        min_params=fact(said, "fsdp.min_params", int, 0),
        use_orig_params=fact(said, "fsdp.use_orig_params", bool, True),
        param_dtype=dtype,
        reduce_dtype=dtype,
        buffer_dtype=dtype if version == 1 else "",
        output_dtype=dtype if version == 2 else "",
    )


def _autocast(
    said: Mapping[str, object], device: str, precision: str, engine: Engine | None, wrap: Wrap | None
) -> str | None:
    """Accelerate's `native_amp`: none under DeepSpeed (but fp8), in 1.15 none under FSDP2, no fp16 on CPUs."""
    if engine is not None:
        inner = said.get("deepspeed.autocast") or ("bfloat16" if precision == "fp8" else None)
        return f"{device}:{inner}" if inner else None
    if precision == "no" or (precision == "fp16" and device == "cpu") or (wrap is not None and wrap.version == 2):
        return None
    return f"{device}:{_DTYPES[precision]}"
