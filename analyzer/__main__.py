"""`python -m analyzer` is the command `analyze`, which Ctrl-C ends in one line from its first moment on."""

from __future__ import annotations

import signal
import sys


def run() -> int:
    """Import the command and run it; gives the exit code."""
    try:
        from analyzer.own_process import prepare

        prepare("--debug" in sys.argv)
        from analyzer.cli import main

        return main()
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("analyze: interrupted\n")
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exit code is decided: no traceback while the process leaves


if __name__ == "__main__":
    sys.exit(run())
