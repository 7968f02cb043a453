"""fishpipe plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from fishpipe.cli.common import Arguments, common, err, open_project, options, out
from fishpipe.permission import refusal as refusal_of
from fishpipe.plan import PlanOptions

if TYPE_CHECKING:
    from fishpipe.project import Project, Session
    from fishpipe.rules import Rules


@options(
    click.option("--since", metavar="REV", help="As if all had been built at this revision: what its changes cost."),
    click.option("--exit-code", is_flag=True, help="Exit with 9 when there is something to do."),
    click.option("-B", "--force", is_flag=True, help="As if all outputs were to be stitched again."),
)
def plan(arguments: Arguments, since: str | None, exit_code: bool, force: bool) -> int:
    r"""Show what a build would call, why, and for how much. Writes nothing.

    \b
      fishpipe plan
      fishpipe plan episode-1 --json
      fishpipe plan --exit-code      9 when there is something to do
      fishpipe plan --since main     what the changes of this branch cost, whatever is built here
    """
    return show_plan(arguments, PlanOptions(force=force), exit_code=exit_code, since=since)


def show_plan(
    arguments: Arguments,
    how: PlanOptions,
    *,
    exit_code: bool = False,
    collect: bool = False,
    budget: float | None = None,
    rules: Rules | None = None,
    since: str | None = None,
) -> int:
    """Also what `build -n` does, with its options."""
    from fishpipe.report.plans import plan_data, plan_text

    project = open_project(arguments, budget=budget)
    with project.session(arguments.targets, how) as session:
        if since is not None:
            return _since(arguments, project, session, since, exit_code=exit_code)
        found = session.plan.free_part if collect else session.plan
        refusal = refusal_of(project, replace(session, plan=found), rules)
    if refusal:
        err(f"a build would be refused: {refusal}")
    if arguments.json:
        out(json.dumps(plan_data(found), ensure_ascii=False, indent=2))
    else:
        out(plan_text(found, whole=arguments.verbose, free=project.provider == "sandbox"))
    if refusal and rules is not None and (rules.frozen or rules.locked or rules.offline):
        return 5
    return 9 if exit_code and not found.is_empty else 0


def _since(arguments: Arguments, project: Project, session: Session, rev: str, *, exit_code: bool) -> int:
    from fishpipe.report.plans import plan_data, plan_text
    from fishpipe.report.prose import cost_words, count
    from fishpipe.review import since

    whole, left = since(project, session, rev)
    paid = len(whole.paid) - len(left.paid)
    if arguments.json:
        data = plan_data(whole) | {"paid_already": paid, "to_pay": plan_data(left)}
        out(json.dumps(data, ensure_ascii=False, indent=2))
    else:
        out(plan_text(whole, whole=arguments.verbose, free=project.provider == "sandbox"))
        if paid:
            rest = cost_words(len(left.paid), left.cost) if left.paid else "nothing"
            out(f"paid for already: {count(paid, 'call')}; to pay: {rest}")
    return 9 if exit_code and left.paid else 0


command = common(plan)
