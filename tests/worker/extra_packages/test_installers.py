"""Why an installer failed, read from the words of pip 23 and uv 0.13."""

from __future__ import annotations

import pytest

from analyzer.worker.extra_packages.base import Base
from analyzer.worker.extra_packages.installers import reason

BASE = Base("python", (3, 11, 7), ("cpython-311", "linux-x86_64"), ())
NO_VERSION = """Looking in indexes: https://pypi.org/simple
ERROR: Could not find a version that satisfies the requirement transformers==99.9 (from versions: 4.0.0, 5.24.0)
ERROR: No matching distribution found for transformers==99.9"""
NO_WHEEL = "ERROR: Could not find a version that satisfies the requirement docopt==0.6.2 (from versions: none)"
UNREACHED = """WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<pip._vendor>: \
Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')': /simple/timm/
ERROR: Could not find a version that satisfies the requirement timm (from versions: none)"""
CONFLICT = """ERROR: Cannot install a and b because these package versions have conflicting dependencies.

The conflict is caused by:
    The user requested huggingface_hub>2
    transformers 4.44.2 depends on huggingface-hub<1.0 and >=0.23.2

To fix this you could try to:
1. loosen the range of package versions you've specified
ERROR: ResolutionImpossible: for help visit https://pip.pypa.io"""
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
UV = """Using Python 3.11.7 environment at: e2
error: No solution found when resolving dependencies
  cause: Because there is no version of transformers==99.9 and you require transformers==99.9, we can conclude so."""
UV_OLD = """  × No solution found when resolving dependencies:
  ╰─▶ Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2, we can conclude so."""  # noqa: RUF001
UV_UNREACHED = """error: Failed to fetch: `http://127.0.0.1:9/simple/timm/`
  cause: error sending request for url"""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            NO_VERSION,
            "there is no wheel of transformers==99.9 for Python 3.11 on linux-x86_64; "
            "the newest release with one is 5.24.0",
        ),
        (NO_WHEEL, "there is no wheel of docopt==0.6.2 for Python 3.11 on linux-x86_64"),
        (UNREACHED, "no package index can be reached (Temporary failure in name resolution)"),
        (
            CONFLICT,
            "The user requested huggingface_hub>2; transformers 4.44.2 depends on huggingface-hub<1.0 and >=0.23.2",
        ),
        (FULL, "Could not install packages due to an OSError: [Errno 28] No space left on device"),
        (
            UV,
            "Because there is no version of transformers==99.9 and you require transformers==99.9, we can conclude so.",
        ),
        (UV_OLD, "Because docopt==0.6.2 has no usable wheels and you require docopt==0.6.2, we can conclude so."),
        (UV_UNREACHED, "no package index can be reached"),
        ("", "it does not say why"),
        ("Traceback: x\nSomething odd", "Something odd"),
    ],
)
def test_the_reason_is_in_one_line(said: str, words: str) -> None:
    assert reason(said.splitlines(), BASE) == words
