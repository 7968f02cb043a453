"""fishpipe plan."""

from __future__ import annotations

import json

import click

from fishpipe.cli.common import Arguments, common, open_project, options, out
from fishpipe.plan import PlanOptions


@options(
    click.option("--exit-code", is_flag=True, help="Exit with 9 when there is something to do."),
    click.option("-B", "--force", is_flag=True, help="As if all outputs were to be stitched again."),
)
def plan(arguments: Arguments, exit_code: bool, force: bool) -> int:
    r"""Show what a build would call, why, and for how much. Writes nothing.

    \b
      fishpipe plan
      fishpipe plan episode-1 --json
      fishpipe plan --exit-code      9 when there is something to do
    """
    return show_plan(arguments, exit_code=exit_code, force=force)


def show_plan(arguments: Arguments, *, exit_code: bool, force: bool) -> int:
    """Also what `build -n` does."""
    from fishpipe.report.plans import plan_data, plan_text

    project = open_project(arguments)
    with project.session(arguments.targets, PlanOptions(force=force)) as session:
        found = session.plan
    if arguments.json:
        out(json.dumps(plan_data(found), ensure_ascii=False, indent=2))
    else:
        out(plan_text(found, whole=arguments.verbose, free=project.provider == "sandbox"))
    return 9 if exit_code and not found.is_empty else 0


command = common(plan)
