"""The cases: each class that transformers' auto mappings name for a model type, in its default, full-size config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

_END = "_MAPPING_NAMES"


@dataclass(frozen=True, slots=True)
class Case:
    """One class of one model type, and the auto classes that give it."""

    model_type: str
    cls: str
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        """How a row of the table is found again."""
        return f"{self.model_type} {self.cls}"

    @property
    def is_base(self) -> bool:
        """Whether it is what AutoModel gives."""
        return "MODEL" in self.tasks


def cases() -> list[Case]:
    """All of them, those of AutoModel first."""
    tasks: dict[tuple[str, str], list[str]] = {}
    for attribute in sorted(vars(modeling_auto)):
        if not attribute.startswith("MODEL_") or not attribute.endswith(_END):
            continue
        for model_type, names in getattr(modeling_auto, attribute).items():
            if model_type in CONFIG_MAPPING_NAMES:
                for name in [names] if isinstance(names, str) else names:
                    tasks.setdefault((model_type, name), []).append(attribute.removesuffix(_END))
    made = [Case(model_type, name, tuple(given)) for (model_type, name), given in tasks.items()]
    return sorted(made, key=lambda case: (not case.is_base, case.model_type, case.cls))


def config_of(case: Case) -> dict[str, Any]:
    """The config.json of the default config, naming the class.

    Raises whatever transformers raises of a config that has no default.
    """
    config = transformers.CONFIG_MAPPING[case.model_type]()
    return {**config.to_dict(), "architectures": [case.cls], "model_type": case.model_type}
