"""What an interpreter is and has: asked of it once, in a process that reads nothing of a stranger's."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from analyzer.errors import AnalyzerError
from analyzer.worker.confinement import scrubbed

_PROBE: Final = """
import json, os, sys, sysconfig
path = [place for place in sys.path if place and os.path.isdir(place)]
infos = {}
for place in reversed(path):  # the first place wins
    for name in os.listdir(place):
        if name.endswith((".dist-info", ".egg-info")):
            infos[name.split("-")[0].lower().replace("_", "-").replace(".", "-")] = os.path.join(place, name)
print(json.dumps({
    "python": list(sys.version_info[:3]), "abi": [sys.implementation.cache_tag, sysconfig.get_config_var("SOABI")],
    "platform": sysconfig.get_platform(), "infos": sorted(infos.values()),
}))
"""
_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Base:
    """An interpreter, the kind of wheels that it takes, and the metadata folders of its packages."""

    python: str
    version: tuple[int, ...]
    kind: tuple[str, ...]
    """ABI and platform."""
    infos: tuple[Path, ...]

    def release(self, package: str) -> str:
        """The release of a package that it has, "" for none.

        >>> Base("python", (3, 11), (), (Path("torch-2.13.0+cpu.dist-info"),)).release("torch")
        '2.13.0+cpu'
        """
        parts = (info.stem.split("-") for info in self.infos)
        return next((words[1] for words in parts if words[0].lower() == package and len(words) > 1), "")


def asked(python: str, scratch: Path) -> Base:
    """What an interpreter says of itself, as a worker in it would. Raises AnalyzerError where it is none."""
    environment = scrubbed(os.environ, str(scratch))
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], env=environment, capture_output=True, timeout=_SECONDS, check=True, cwd=scratch
        )
        said = json.loads(done.stdout)
        kind = tuple(str(one) for one in (*said["abi"], said["platform"]))
        return Base(python, tuple(said["python"]), kind, tuple(Path(one) for one in said["infos"]))
    except OSError as error:
        raise AnalyzerError(f"{python} cannot be started: {error.strerror}", hint="is it a Python?") from error
    except (subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise AnalyzerError(f"{python} is no Python that can be asked what it has", hint="is it a Python?") from error
