"""Runs a model several times in one capture: prefill and decode with its own cache, again, or with other sizes."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import torch
from torch import nn

from analyzer.errors import AnalyzerError, first_line
from analyzer.ir.findings import Note
from analyzer.ir.steps import IMAGE, LENGTH, PREFILL, Step

Run = Callable[[nn.Module, dict[str, Any]], Any]
_LABELS: Final = ("labels", "start_positions", "end_positions", "return_loss")
"""Inputs of a loss, which generation has none of."""
_IDS: Final = ("decoder_input_ids", "input_ids", "decoder_inputs_embeds", "inputs_embeds")
"""What a decoder reads, the first that is given."""


@dataclass(frozen=True, slots=True)
class Session:
    """How the steps of one trace are run: `begin` is told the label of each, `note` what had to be assumed."""

    steps: tuple[Step, ...]
    run: Run | None
    """What makes one call of the model, where it is not its forward."""
    begin: Callable[[str], None]
    note: Note

    def __call__(self, module: nn.Module, given: Mapping[str, dict[str, object]]) -> dict[str, Any]:
        """Make the calls; `given` is the inputs of every step, by label. Gives their results in the same way."""
        results: dict[str, object] = {}
        for generates, group in groupby(self.steps, key=lambda step: step.generates):
            steps = list(group)
            if generates:
                for run in _runs(steps):
                    results |= self._generate(module, run, given[run[0].label])
                continue
            for step in steps:
                self.begin(step.label)
                results[step.label] = (self.run or _forward)(module, given[step.label])
        return results

    def _generate(self, module: nn.Module, steps: list[Step], inputs: dict[str, object]) -> dict[str, Any]:
        if self.run is not None:
            raise AnalyzerError("prefill and decode need a model that is called itself", hint="drop run() or --steps")
        inputs = {name: value for name, value in inputs.items() if name not in _LABELS}
        seen: list[Any] = []
        parts = _decoders(module)
        generate = getattr(module, "generate", None)
        self.begin(steps[0].label)
        if parts and callable(generate):
            with self._watching(parts, [step.label for step in steps], seen), _quiet():
                try:
                    _call_generate(generate, steps, inputs)
                except _Enough:
                    pass
                except Exception as error:
                    if seen:
                        raise
                    if steps[0].value:
                        raise AnalyzerError(f"no {steps[0].value} cache: {error}", hint="try prefill alone") from error
                    self.note("generate does not take these inputs", f"{type(error).__name__}: {first_line(error)}")
        if not seen:
            seen = self._by_hand(module, steps, inputs)
        elif len(seen) < len(steps):
            self.note("generate ended early", f"no {steps[len(seen)].label}")
        return {step.label: result for step, result in zip(steps, seen, strict=False)}

    @contextmanager
    def _watching(self, parts: list[nn.Module], labels: list[str], seen: list[object]) -> Iterator[None]:
        """Begin a step with every forward of the outermost of these parts, and keep what it gives."""
        inside: list[nn.Module] = []

        def entered(part: nn.Module, *_: object) -> None:
            if not inside and len(seen) < len(labels):
                self.begin(labels[len(seen)])
                seen.append(None)
            inside.append(part)

        def left(part: nn.Module, args: object, result: object) -> None:
            inside.pop()
            if not inside:
                seen[-1] = result
                if len(seen) == len(labels):
                    raise _Enough

        handles = [h for p in parts for h in (p.register_forward_pre_hook(entered), p.register_forward_hook(left))]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _by_hand(self, module: nn.Module, steps: list[Step], inputs: dict[str, object]) -> list[Any]:
        """The first call gives what the next one takes: whatever both name, such as a cache; then one token more."""
        taken = inspect.signature(module.forward).parameters
        inputs = {**inputs, **({"use_cache": True} if "use_cache" in taken else {})}
        seen: list[Any] = []
        for step in steps:
            self.begin(step.label)
            if seen:
                inputs = _one_more(inputs, _carried(module, seen[-1], taken), taken)
            seen.append(module(**inputs))
        kept = ", ".join(_carried(module, seen[-1], taken))
        self.note("the decode step", f"one more token with {kept}, by a call of {type(module).__name__} itself")
        return seen


class _Enough(BaseException):
    """Every step was seen: what generate does with the last result is not asked for."""


def variant(inputs: dict[str, Any], step: Step) -> dict[str, Any]:
    """The inputs of a step: with sequences of another length, or images of another size (pixels), if it asks for it."""
    if step.kind == LENGTH:
        key = next((name for name in _IDS if name in inputs), None)
        if key is None:
            raise AnalyzerError(f"no sequence to make {step.value} long", hint=f"length needs {' or '.join(_IDS)}")
        old = inputs[key].shape[1]
        return {name: _longer(name, value, old, int(step.value)) for name, value in inputs.items()}
    if step.kind == IMAGE:
        images = {name: value for name, value in inputs.items() if _is_image(value)}
        if not images:
            raise AnalyzerError(f"no image to make {step.value} pixels large", hint="give pixel_values with --inputs")
        size = int(step.value)
        return {**inputs, **{name: value.new_ones((*value.shape[:-2], size, size)) for name, value in images.items()}}
    return inputs


def _forward(module: nn.Module, inputs: dict[str, object]) -> Any:
    return module(**inputs)


def _runs(steps: list[Step]) -> Iterator[list[Step]]:
    """A prefill with the decode steps that follow it."""
    starts = [i for i, step in enumerate(steps) if step.kind == PREFILL]
    for start, end in zip(starts, [*starts[1:], len(steps)], strict=True):
        yield steps[start:end]


def _decoders(module: nn.Module) -> list[Any]:
    """The parts whose forward generate may call: a wrapper's is not called, an encoder's is no step."""
    parts: list[Any] = [part for part in module.modules() if hasattr(part, "prepare_inputs_for_generation")]
    kinds = [getattr(getattr(part, "config", None), "is_encoder_decoder", False) for part in parts]
    return [part for part, kind in zip(parts, kinds, strict=True) if kind == kinds[0]]


def _call_generate(generate: Callable[..., Any], steps: list[Step], inputs: dict[str, object]) -> None:
    asked = {"cache_implementation": steps[0].value} if steps[0].value else {}
    # no token ends it: which one comes next is made up
    given = {**inputs, "use_cache": True, "eos_token_id": _NONE, "pad_token_id": 0}
    generate(**given, max_new_tokens=len(steps), do_sample=False, **asked)


_NONE: Final = -1
"""An id that no token has."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' advice about generation to itself."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _carried(module: nn.Module, result: object, taken: Mapping[str, object]) -> dict[str, object]:
    """What a call gave that the next one takes."""
    fields = dict(result) if isinstance(result, Mapping) else dict(getattr(result, "__dict__", {}))
    fields = {**{old: fields[new] for old, new in _RENAMED.items() if new in fields}, **fields}
    found = {name: fields[name] for name in taken if fields.get(name) is not None and name not in _OUTPUTS}
    if "encoder_outputs" in taken and fields.get("encoder_last_hidden_state") is not None:
        found["encoder_outputs"] = (fields["encoder_last_hidden_state"],)
    if not found:
        raise AnalyzerError(f"{type(module).__name__} gives nothing that its next call takes", hint="use --twice")
    return found


_RENAMED: Final = {"past_key_values": "cache", "cache_params": "cache"}
"""What older code takes -> what transformers 5 calls it in the outputs that it is given in."""
_OUTPUTS: Final = ("logits", "loss", "hidden_states", "attentions")
"""What a call gives for the reader, not for the next call."""


def _one_more(inputs: dict[str, Any], carried: dict[str, Any], taken: Mapping[str, object]) -> dict[str, object]:
    """The inputs of the next step: the last token again, masks longer by one, nothing that is used up."""
    key = next((name for name in _IDS if name in inputs), None)
    if key is None:
        raise AnalyzerError("decode needs token ids", hint=f"give {' or '.join(_IDS)} with --inputs")
    prefix = "decoder_" if key.startswith("decoder_") else ""
    after: dict[str, Any] = {key: inputs[key][:, -1:], **carried}
    mask, places = f"{prefix}attention_mask", f"{prefix}position_ids"
    if mask in inputs:
        after[mask] = torch.cat([inputs[mask], torch.ones_like(inputs[mask][:, :1])], 1)
    if places in inputs:
        after[places] = inputs[places][..., -1:] + 1
    if prefix and "attention_mask" in inputs:
        after["attention_mask"] = inputs["attention_mask"]
    if "cache_position" in inputs:
        after["cache_position"] = inputs["cache_position"][-1:] + 1
    plain = {n: v for n, v in inputs.items() if not isinstance(v, (torch.Tensor, list, tuple, dict)) and n in taken}
    return {**plain, **after}


def _longer(name: str, value: Any, old: int, new: int) -> object:
    axes = [a for a in range(1, value.dim()) if value.shape[a] == old][:1] if isinstance(value, torch.Tensor) else []
    if not axes:
        return value
    at = torch.arange(new, device=value.device)
    if "position" in name and not value.is_floating_point():
        return at.to(value.dtype).expand(*value.shape[:-1], new).contiguous()
    return value.index_select(axes[0], at.clamp(max=old - 1))  # the last token again: images keep their places


def _is_image(value: object) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.dim() > 3
