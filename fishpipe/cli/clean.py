"""fishpipe clean."""

from __future__ import annotations

import json

import click

from fishpipe.cli.common import Arguments, common, err, open_project, options, out
from fishpipe.errors import StoreError
from fishpipe.housekeeping import built


@options(
    click.option("-n", "--dry-run", is_flag=True, help="Only show."),
    click.option("--force", is_flag=True, help="Also files that were edited, or made by something else."),
)
def clean(arguments: Arguments, *, dry_run: bool, force: bool) -> int:
    r"""Remove outputs. The clips stay: building them again costs nothing.

    \b
      fishpipe clean
      fishpipe clean episode-1
    """
    project = open_project(arguments)
    with project.hold(), project.session(arguments.targets) as session:
        gone, kept = built(session, edited=force)
        for output in gone if not dry_run else ():
            try:
                output.path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"{output.shown} cannot be removed: {error.strerror}") from error
    for output in kept:
        err(f"{output.shown} was not made by the last build as it is, and stays (remove it too: --force)")
    if arguments.json:
        out(json.dumps({"removed": [output.shown for output in gone], "kept": [output.shown for output in kept]}))
    elif not arguments.quiet:
        verb = "would be removed" if dry_run else "removed"
        out("\n".join(f"{output.shown} {verb}" for output in gone) or "nothing to remove")
    return 0


command = common(clean)
