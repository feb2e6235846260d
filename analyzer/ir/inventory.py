"""The inventory: every tensor that the model holds, and how its modules are called, whether or not a run reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from analyzer.ir.dtypes import is_float, short
from analyzer.ir.graph import NOWHERE, Place, Spec
from analyzer.ir.literal_types import HeldKind
from analyzer.ir.reason import UNKNOWN, Reason


@dataclass(frozen=True, slots=True)
class Held:
    """One parameter or buffer of the model, tied ones once, and how the checkpoint stores it."""

    kind: HeldKind
    name: str
    spec: Spec
    trained: bool = False
    persistent: bool = True
    """Whether a state dict holds it."""
    saved: str = ""
    """Its dtype in the checkpoint; "" if it is not there, or no checkpoint is."""
    shard: str = ""
    """The checkpoint file that holds it."""
    place: Place = NOWHERE
    """The constructor line that made it."""
    reason: Reason = UNKNOWN
    """Why it has its dtype."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a loaded model holds."""

    tensors: tuple[Held, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    """Path of every module -> the name of its class; "" is the model."""
    no_split: tuple[str, ...] = ()
    """Class names that the model's `_no_split_modules` names: what FSDP makes units of by default."""
    ends: tuple[tuple[str, ...], ...] = ()
    """Paths of modules that accelerate makes FSDP2 units of beside layers: the embedding, then last norm and head."""
    declared: str = ""
    """The dtype that config.json names; "" if it names none."""
    loaded: str = ""
    """The dtype that `from_pretrained` was given or took."""
    unused: Mapping[str, str] = field(default_factory=dict)
    """Tensors of the checkpoint that the model does not have -> their dtype there."""
    other_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Tensors whose shape in the checkpoint is not that of the model -> their shape there."""
    has_checkpoint: bool = False
    """Whether headers of a whole checkpoint were read, so that what is missing there is known to be."""
    made_anew: tuple[str, ...] = ()
    """Expressions for names that the model's class expects to be missing (`_keys_to_ignore_on_load_missing`)."""
    tokens: int = 0
    """How many tokens a text has that was made up; 0 if a person gave the inputs."""
    longest: int = 0
    """How many tokens the config allows at most; 0 if it says nothing of that."""

    @property
    def stored_dtype(self) -> str:
        """The float dtype that most elements of the checkpoint have; "" if none was read."""
        sizes: Counter[str] = Counter()
        for held in self.tensors:
            if is_float(held.saved):
                sizes[held.saved] += prod(held.spec.shape)
        return sizes.most_common(1)[0][0] if sizes else ""

    def checkpoint(self) -> str:
        """What the checkpoint holds, in one line: `694 tensors in 2 shards, all bf16`; "" if none was read."""
        read = [held for held in self.tensors if held.saved]
        if not read:
            return ""
        counts = Counter(held.saved for held in read).most_common()
        files = len({held.shard for held in read})
        where = f"{files} shards" if files > 1 else read[0].shard
        dtypes = ", ".join(f"{count:,} {short(dtype)}" for dtype, count in counts)
        dtypes = f"all {short(counts[0][0])}" if len(counts) == 1 else dtypes
        unused = f"; {len(self.unused):,} more that the model has no place for" if self.unused else ""
        return f"{len(read):,} tensors in {where}, {dtypes}{unused}"


EMPTY = Inventory()
"""What is known of a bare function."""
