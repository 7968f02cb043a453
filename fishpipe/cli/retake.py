"""fishpipe retake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from fishpipe.cli.build import RULES, confirm, reporter, tell, tell_unshared
from fishpipe.cli.common import Arguments, Usd, again, common, err, is_terminal, open_project, options, out
from fishpipe.errors import UsageError
from fishpipe.permission import ceiling, check_allowed
from fishpipe.plan import InDoubt, PlanOptions
from fishpipe.report.plans import plan_text
from fishpipe.rules import Rules
from fishpipe.runner.run import RunOptions
from fishpipe.studio import Line, retaking, spoken
from fishpipe.takes import sharing

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import ClipStep


@options(
    click.option("-n", "--number", type=click.IntRange(1, 50), default=1, show_default=True, help="How many more."),
    click.option(
        "--where", multiple=True, metavar="FIELD=VALUE", help="Only these: voice, script, id, model, text (~)."
    ),
    click.option("--dry-run", is_flag=True, help="Show the plan and stop."),
    click.option("-j", "--jobs", type=click.IntRange(1, 100), envvar="FISHPIPE_JOBS", help="Calls in flight at once."),
    click.option("--budget", type=Usd(min=0), envvar="FISHPIPE_BUDGET", help="USD this may spend."),
    click.option("--in-doubt", type=click.Choice(["ask", "retry", "skip"]), default="ask", help="As build does."),
    *RULES,
    click.option("-y", "--yes", is_flag=True, help="Do not ask."),
    click.option("--wait", is_flag=True, help="Wait for another run of this project."),
)
def retake(
    arguments: Arguments, number: int, where: tuple[str, ...], dry_run: bool, jobs: int | None,
    budget: float | None, in_doubt: InDoubt, frozen: bool, locked: bool, offline: bool, yes: bool, wait: bool,
) -> int:  # fmt: skip
    r"""Pay for other renderings of the same words. One becomes the current take; of several, choose one.

    \b
      fishpipe retake episode-1/0007             one more, used from now on
      fishpipe retake episode-1/0007 -n 3        three to choose from: fishpipe takes episode-1/0007
      fishpipe retake episode-1 --where voice=ana --where "text~harbour"
    """
    if not arguments.targets and not where:
        raise UsageError("retake needs a segment (episode-1/0007), or --where to choose among all")
    project = open_project(arguments, concurrency=jobs, budget=budget)
    how = PlanOptions(in_doubt=in_doubt)
    if dry_run:
        with project.session(options=how) as session:
            lines = spoken(project, session, arguments.targets, where)
            out(plan_text(retaking(project, session, lines, number, how).plan, whole=arguments.verbose))
        return 0
    with project.hold(wait=wait), project.session(options=how, writing=True) as session:
        lines = spoken(project, session, arguments.targets, where)
        planned = retaking(project, session, lines, number, how)
        check_allowed(project, planned, Rules(frozen=frozen, locked=locked, offline=offline))
        if not yes and is_terminal():
            confirm(project, planned.plan)
        free = project.provider == "sandbox"
        asked = RunOptions(retry_doubt=in_doubt != "skip", ceiling=ceiling(project, planned), free=free)
        done = project.run(planned, reporter(arguments), asked)
        tell_unshared(planned)
        tell(project, arguments, done)
        rows = [(step, session.store.row(key)) for key, step in planned.graph.clips.items()]
        made = [step for step, row in rows if row is not None and row.state == "stored"]
    _tell(arguments, lines, made, planned.choosing)
    return done.exit_code


def _tell(
    arguments: Arguments, lines: Sequence[Line], made: Sequence[ClipStep], chosen: Collection[Fingerprint]
) -> None:
    """What became of each line's words."""
    seen: set[Fingerprint] = set()
    for line in lines:
        step, address = line.step, line.address
        takes = [] if step.words in seen else [other for other in made if other.words == step.words]
        seen.add(step.words)
        if not takes:
            continue
        numbers = ", ".join(str(take.take) for take in takes)
        made_here = f"take {numbers} is here" if len(takes) == 1 else f"takes {numbers} are here"
        also = "".join(f"; also used by {other}" for other in sharing(step, address))
        used = takes[0].fingerprint in chosen
        if used:
            undo = again("takes use", arguments.manifest, address, str(step.take), provider=arguments.provider)
            words = f"take {numbers} is used from now on{also} (undo: {undo})"
        elif line.fixed_at is not None:
            words = f"{made_here}; to use it, write take: {takes[0].take} at {line.fixed_at}"
        else:
            choose = again("takes use", arguments.manifest, address, "N", provider=arguments.provider)
            words = f"{made_here}{also}; choose: {choose}"
        if arguments.json:
            found = {"event": "takes_made", "address": address, "takes": [take.take for take in takes], "used": used}
            out(json.dumps(found))
        else:
            err(f"{address}: {words}")
    if chosen and made and not arguments.quiet:
        err(f"next: {again('build', arguments.manifest, provider=arguments.provider)}")


command = common(retake)
