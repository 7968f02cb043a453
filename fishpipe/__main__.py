"""``python -m fishpipe`` and the console script: the error boundary is in :mod:`fishpipe.cli.main`."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from fishpipe.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
