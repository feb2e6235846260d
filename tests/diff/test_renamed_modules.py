"""Modules that only have another path are found, and nothing is called renamed that is not alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzer import cli
from analyzer.diff.renamed_modules import renaming
from analyzer.ir.graph import Spec
from analyzer.ir.inventory import Held, Inventory
from tests.check.folders import REFUSED, edit, sample


def _model(text: str) -> Inventory:
    """`path Class [name:sizes ...]` a line; the tensors of a module with their shapes."""
    classes, tensors = {"": "Model"}, []
    for line in filter(None, map(str.strip, text.splitlines())):
        path, name, *held = line.split()
        classes[path] = name
        for one in held:
            own, _, sizes = one.partition(":")
            spec = Spec("float32", tuple(map(int, sizes.split(","))))
            tensors.append(Held("parameter", f"{path}.{own}", spec))
    return Inventory(tuple(tensors), classes)


VISION = """
    vpm Vision pos:16,8
    vpm.blocks ModuleList
    vpm.blocks.0 Block
    vpm.blocks.0.fc Linear weight:8,8
    vpm.blocks.1 Block
    vpm.blocks.1.fc Linear weight:8,8
    vpm.drop Dropout
    head Linear weight:8,4
"""


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        (VISION, VISION, {}),
        (VISION, VISION.replace("vpm", "vision"), {"vpm": "vision"}),
        # in each layer: told of each
        (VISION, VISION.replace(".fc", ".up"), {f"vpm.blocks.{i}.fc": f"vpm.blocks.{i}.up" for i in (0, 1)}),
        # around and inside at once: what changed inside is no other module
        (
            VISION,
            VISION.replace("vpm", "vision").replace(".fc", ".up"),
            {"vpm": "vision", **{f"vpm.blocks.{i}.fc": f"vision.blocks.{i}.up" for i in (0, 1)}},
        ),
        # a shape that changed far inside
        (VISION, VISION.replace("vpm", "vision").replace("8,8", "8,9"), {"vpm": "vision"}),
        # moved into a new module
        (
            VISION,
            VISION.replace("    vpm", "    model.vpm").replace("    model.vpm V", "    model Base\n    model.vpm V"),
            {"vpm": "model.vpm"},
        ),
        # another shape is another module
        (VISION, VISION.replace("head Linear weight:8,4", "out Linear weight:8,5"), {}),
        # a dropout is like any other
        (VISION, VISION.replace("vpm.drop", "vpm.blocks.1.drop"), {}),
        # one of two is gone, and neither has its name: which one is not known
        ("a Linear w:2\n b Linear w:2", "c Linear w:2", {}),
        ("a Linear w:2\n b Linear w:2", "c Linear w:2\n d Linear w:2", {"a": "c", "b": "d"}),
    ],
)
def test_renamed_modules(before: str, after: str, pairs: dict[str, str]) -> None:
    old, new = _model(before), _model(after)
    assert dict(renaming(old, new).pairs) == pairs
    assert dict(renaming(new, old).pairs) == {b: a for a, b in pairs.items()}


def test_a_renamed_module_of_a_real_model_keeps_its_fault_and_its_operations(tmp_path: Path) -> None:
    before = sample(tmp_path / "a")
    after = edit(sample(tmp_path / "b"), REFUSED, "out = self.cross(query, key, x)[0]")
    edit(after, "self.attn = ", "self.cross = ")
    out = tmp_path / "diff.json"
    assert cli.main(["diff", str(before), str(after), "--trust-remote-code", "--out", str(out)]) == 1
    (stage,) = json.loads(out.read_text())["stages"]
    assert [(one["before"], one["after"]) for one in stage["renamed"]] == [("resampler.attn", "resampler.cross")]
    assert not any(stage[name][side] for name in ("modules", "casts", "operations") for side in ("gone", "new"))
    assert stage["findings"] == {"new": [], "gone": []}  # although its line is written otherwise
    assert not stage["edges"] and not stage["tensors"] and stage["memory"]["difference"] == 0
