"""`python -m analyzer` is the command `analyze`, which Ctrl-C ends in one line from its first moment on."""

from __future__ import annotations

import os
import sys


def run() -> int:
    """Import the command and run it; gives the exit code."""
    try:
        leave_current_folder()

        from analyzer.own_process import prepare

        prepare("--debug" in sys.argv)
        from analyzer.watched import watched

        return watched(_command)
    except KeyboardInterrupt:
        if sys.stderr is not None:
            sys.stderr.write("analyze: interrupted\n")
        return 130
    finally:
        import signal  # not before the current folder was left

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exit code is decided: no traceback while the process leaves


def _command() -> int:
    from analyzer.cli import main

    return main()


def leave_current_folder() -> None:
    """See that nothing is imported from the current folder, which may be a stranger's; nor by Pythons started later.

    `python -m` and empty or relative entries of PYTHONPATH put it on the path. Absolute entries stay, and the folder
    that holds this package. Of a Python that ignores its variables (-I), those that it starts ignore them too.
    """
    # Nothing but what Python has imported before: pathlib would be looked for in the current folder.
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    absolute = [entry for entry in entries if os.path.isabs(entry)]  # noqa: PTH117
    package = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120
    kept = {os.path.realpath(one) for one in (*absolute, package)}
    try:
        left = {os.path.realpath(entry) for entry in ("", *entries)} - kept
    except FileNotFoundError:  # the folder is gone, which the command tells
        return
    library = os.path.dirname(os.__file__)  # noqa: PTH120
    before = sys.path.index(library) if library in sys.path else len(sys.path)
    sys.path[:before] = [entry for entry in sys.path[:before] if os.path.realpath(entry) not in left]
    if sys.flags.ignore_environment:
        absolute = []
        for name in [name for name in os.environ if name.startswith("PYTHON")]:
            del os.environ[name]
    if sys.flags.no_user_site:
        os.environ["PYTHONNOUSERSITE"] = "1"
    os.environ.pop("PYTHONPATH", None)
    if absolute:
        os.environ["PYTHONPATH"] = os.pathsep.join(absolute)


if __name__ == "__main__":
    sys.exit(run())
