"""``python -m fishpipe`` and the console script: the error boundary is in :mod:`fishpipe.cli.main`."""

import os
import sys


def _stand_in() -> None:
    """Have all three streams: a file that is opened in the place of one that was closed would take what is said."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def main() -> None:
    """Run the command line and exit with its code."""
    _stand_in()
    from fishpipe.cli.main import run

    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    # A long manifest is a great many small values: the system gives their memory back faster than Python does.
    os._exit(code)


if __name__ == "__main__":
    main()
