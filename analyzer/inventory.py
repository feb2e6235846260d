"""The inventory: every tensor that the model holds, and how its modules are called, whether or not a run reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from analyzer.graph import NOWHERE, Place, Spec


@dataclass(frozen=True, slots=True)
class Held:
    """One parameter or buffer of the model, tied ones once, and how the checkpoint stores it."""

    kind: str
    """"parameter" or "buffer"."""
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
    reason: str = ""
    """Why it has its dtype."""


@dataclass(frozen=True)
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
    has_checkpoint: bool = False
    """Whether headers of a whole checkpoint were read, so that what is missing there is known to be."""


EMPTY = Inventory()
"""What is known of a bare function."""
