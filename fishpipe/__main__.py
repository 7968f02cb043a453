"""``python -m fishpipe`` and the console script: the error boundary is in :mod:`fishpipe.cli.main`."""

import os
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from fishpipe.cli.main import run

    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = code or 1
    # A long manifest is a great many small values: the system gives their memory back faster than Python does.
    os._exit(code)


if __name__ == "__main__":
    main()
