"""The sound inputs that are mutated: of each kind a table, name -> what makes it; torch only where one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzzing.inputs import Seed
from tests.fuzzing.seeds import adapters, checkpoints, configs, parts, projects, recipes, reports

Makers = Mapping[str, Callable[[], Seed]]
KINDS: Final[dict[str, Makers]] = {
    "config": configs.ARCHITECTURES,
    "beside": configs.BESIDE,
    "quantized": configs.QUANTIZED,
    "code": configs.CODE,
    "hub": configs.hub(),
    "weights": checkpoints.SAFETENSORS,
    "bin": checkpoints.PICKLED,
    "program": checkpoints.PROGRAMS,
    "recipe": recipes.RECIPES,
    "plan": recipes.PLANS,
    "adapter": adapters.ADAPTERS,
    "pipeline": parts.PIPELINES,
    "sentences": parts.SENTENCES,
    "timm": parts.TIMM,
    "baseline": projects.BASELINES,
    "suppressions": projects.SUPPRESSIONS,
    "revision": projects.REVISIONS,
    "report": reports.REPORTS,
    "diff": reports.DIFFS,
}
"""A kind without seeds, such as the configs of a hub that is not there, is left out of a run."""
