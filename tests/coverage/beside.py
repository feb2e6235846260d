"""`python -m tests.coverage.beside PATTERN ...`: the same with packages that lie beside the environment on the path.

timm imports torchvision, which does not go with a CPU build of torch: a stand-in that raises when it is called is in
its place.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from analyzer.loaders.remote_code.environment import environment

BESIDE: Final = Path(sys.prefix) / "apart"
"""Where `make` puts packages without what they depend on."""
STOOD_IN: Final = ("torchvision",)


def lies_beside(package: str) -> bool:
    """Whether a package is there that the environment itself lacks."""
    return bool(package) and (BESIDE / package).is_dir()


def main() -> None:
    """Run the command where transformers finds them: it looks once, when it is imported."""
    sys.path.append(str(BESIDE))
    with environment("cuda", STOOD_IN):
        from tests.coverage.__main__ import main as command

        command(beside=True)


if __name__ == "__main__":
    main()
