"""`python -m analyzer` is the command `analyze`."""

from __future__ import annotations

import sys

from analyzer.cli import main

sys.exit(main())
