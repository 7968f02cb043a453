"""fishpipe diff."""

from __future__ import annotations

import json

import click
from msgspec.structs import replace

from fishpipe.cli.common import Arguments, common, open_project, options, out, with_manifest
from fishpipe.errors import UsageError
from fishpipe.report.diffs import diff_data, diff_markdown, diff_text
from fishpipe.review import comparison


@options(
    click.option("--format", "style", type=click.Choice(["text", "json", "markdown"]), default="text", help="How."),
)
def diff(arguments: Arguments, style: str) -> int:
    r"""Show what changed since a revision in git, line by line, and what a build would pay now. Writes nothing.

    \b
      fishpipe diff                                since the last commit
      fishpipe diff main
      fishpipe diff origin/main --format markdown  for a comment of a pull request
    """
    names = arguments.targets
    own = names[:1] if names and names[0].endswith((".yaml", ".yml")) else ()
    rest = names[len(own) :]
    if len(rest) > 1:
        raise UsageError("diff takes one revision: fishpipe diff [MANIFEST] [REV]")
    rev = rest[0] if rest else "HEAD"
    project = open_project(with_manifest(replace(arguments, targets=own)), warn=False)
    with project.session() as session:
        found = comparison(project, session, rev)
    world, states = found.world, (found.before, found.after)
    data = diff_data(rev, world.commit, world.moved_from, found.changes, states, found.plan)
    if arguments.json or style == "json":
        out(json.dumps(data, ensure_ascii=False, indent=2))
    else:
        out(diff_markdown(data) if style == "markdown" else diff_text(data))
    return 0


diff.is_plain = True  # type: ignore[attr-defined]
diff.metavar = "[MANIFEST] [REV]"  # type: ignore[attr-defined]
command = common(diff)
