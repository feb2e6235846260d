"""Old remote code computes here what it computes in the release that it was written for, and that release alone did."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.loaders.remote_code.environment import environment
from analyzer.loaders.remote_code.importing import lend
from tests.loaders.old_code.running import read, really
from tests.loaders.old_code.samples import SAMPLES
from tests.loaders.remote import five

RELEASES = ("4.44", "4.48", "4.57")
FACTS = {release: read(release) for release in RELEASES}


@five
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_same_as_in_its_own_release(name: str, tmp_path: Path) -> None:
    root = SAMPLES[name].write(tmp_path)
    with environment("cpu", trust=True):
        lend(root, "modeling_own")
        lend(root, "configuration_own")
        made = really(root)
    known = {release: FACTS[release][name] for release in RELEASES if name in FACTS[release]}
    assert known, "a release of the past runs it"
    for release, fact in known.items():
        assert (made["dtype"], made["shape"]) == (fact["dtype"], fact["shape"]), release
        assert made["tied"] == fact["tied"], release
    assert any(made["values"] == pytest.approx(fact["values"], abs=3e-4, rel=1e-3) for fact in known.values())
