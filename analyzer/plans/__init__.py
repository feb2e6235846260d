"""Sources of precision decisions: what a person has on disk or types becomes a Plan for each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

from analyzer.errors import AnalyzerError
from analyzer.ir.plan import EVALUATE, FieldValue, Plan
from analyzer.plans.facts import Facts, fact
from analyzer.plans.plan_file import dump, load
from analyzer.plans.resolve import resolve
from analyzer.plans.sources import read_recipe

__all__ = ["dump", "load", "make"]


def make(
    flags: Mapping[str, FieldValue],
    recipes: Sequence[Path] = (),
    *,
    stage: str | None = None,
    tried: Mapping[str, object] | None = None,
    plan_file: Path | None = None,
) -> tuple[Plan, ...]:
    """The plan of each stage: what the recipe files say, later ones winning, and the command's flags last.

    `stage` picks one of them; `tried` are keys of TrainingArguments that win over the files, not over flags.
    """
    made: tuple[Plan, ...]
    if plan_file is not None:
        if recipes:
            raise AnalyzerError(
                "--plan and --recipe exclude each other", hint="a plan file says all that a recipe does"
            )
        made = load(plan_file)
    elif not recipes and not tried:
        made = (Plan(),)
    else:
        facts = reduce(Facts.then, (read_recipe(file) for file in recipes), Facts())
        if tried:
            from analyzer.plans import trainer

            if strange := trainer.strange_keys(tried):
                raise AnalyzerError(f"--try: unknown key '{strange[0]}'", hint="keys of TrainingArguments can be tried")
            facts = facts.then(trainer.read(tried, "--try"))
        made = resolve(facts, fact(flags, "device", str, None))
    chosen = tuple(plan for plan in made if stage in (None, plan.stage))
    if not chosen:
        known = ", ".join(plan.stage for plan in made if plan.stage) or "none: give a --recipe"
        raise AnalyzerError(f"there is no stage '{stage}' in what was read", hint=f"there is {known}")
    return tuple(_flagged(plan, flags) for plan in chosen)


def _flagged(plan: Plan, flags: Mapping[str, FieldValue]) -> Plan:
    trains = plan.stage != EVALUATE  # an evaluation has no backward pass, whatever the other stage has
    return plan.changed({key: value for key, value in flags.items() if trains or key != "train"})
