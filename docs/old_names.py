"""Remakes the lists in docs/remote-code.md of what old remote code is lent by name: `python docs/old_names.py`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analyzer.loaders.versions.old_names import aliases, caches, configs, defaults, masking, models
from analyzer.loaders.versions.old_names.classes import calls, gone, members, signatures

PAGE = Path(__file__).with_name("remote-code.md")
START, END = "<!-- lent names: python docs/old_names.py -->\n", "<!-- /lent names -->\n"


def lists() -> str:
    """One paragraph a table, the names in order."""
    known = signatures.parse(signatures.FILE.read_text(encoding="utf-8"))
    classes = sorted({cls for one in known.values() for cls, _ in one})
    paragraphs = {
        "Names, whichever module they are taken from": aliases.NAMES,
        "Names with these endings": aliases.ENDINGS,
        "Names that a star of a model's module brought along": aliases.BESIDE,
        "Modules": aliases.MODULES,
        "Attributes of configs, with the defaults of 4.57": configs.DEFAULTS,
        "Attributes of single classes of configs": defaults.OF_CLASSES,
        "Properties of the library that own code may set for itself": (*configs.TAKEN, *models.TAKEN),
        "Methods and attributes of `PreTrainedModel`": (
            *models.METHODS, *models.CLASS_METHODS, *models.PLAIN, *models.FLAGS,
        ),
        "Methods and attributes of caches": {name for one in caches.MEMBERS.values() for name in one},
        "Functions of `masking_utils` by older names of their arguments": masking.FUNCTIONS,
        "Attributes of attention classes": members.OF_CONFIG,
        "Methods that give a tensor again": members.FEATURES,
        "Classes that hide what comes later themselves": calls.CAUSAL,
        "Masks of single models": gone.MASKS,
        f"Models whose {len(classes)} changed classes can be called and made as in 4.36 to 4.57": known,
    }  # fmt: skip
    return "\n".join(f"*{what}:* {_listed(names)}.\n" for what, names in paragraphs.items())


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def page(text: str) -> str:
    """The page with its lists made anew."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n{lists()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
