"""`python -m analyzer` is the command `analyze`, which Ctrl-C ends in one line from its first moment on."""

from __future__ import annotations

import sys


def run() -> int:
    """Import the command and run it; gives the exit code."""
    try:
        from analyzer.own_process import leave, prepare

        prepare("--debug" in sys.argv)
        from analyzer.cli import main

        code = main()
        leave()
        return code
    except KeyboardInterrupt:
        sys.stderr.write("analyze: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(run())
