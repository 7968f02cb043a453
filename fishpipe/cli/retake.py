"""fishpipe retake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fishpipe.cli.build import confirm, run
from fishpipe.cli.common import Arguments, Usd, common, err, is_terminal, open_project, options, out
from fishpipe.errors import UsageError
from fishpipe.plan import InDoubt, PlanOptions
from fishpipe.report.plans import plan_text
from fishpipe.studio import Line, pin, retaking, spoken
from fishpipe.takes import sharing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.graph.steps import ClipStep
    from fishpipe.project import Project, Session


@options(
    click.option("-n", "--number", type=click.IntRange(1, 50), default=1, show_default=True, help="How many more."),
    click.option(
        "--where", multiple=True, metavar="FIELD=VALUE", help="Only these: voice, script, id, model, text (~)."
    ),
    click.option("--dry-run", is_flag=True, help="Show the plan and stop."),
    click.option("-j", "--jobs", type=click.IntRange(1, 100), envvar="FISHPIPE_JOBS", help="Calls in flight at once."),
    click.option("--budget", type=Usd(min=0), envvar="FISHPIPE_BUDGET", help="USD this may spend."),
    click.option("--in-doubt", type=click.Choice(["ask", "retry", "skip"]), default="ask", help="As build does."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask."),
    click.option("--wait", is_flag=True, help="Wait for another run of this project."),
)
def retake(
    arguments: Arguments, number: int, where: tuple[str, ...], dry_run: bool, jobs: int | None,
    budget: float | None, in_doubt: InDoubt, yes: bool, wait: bool,
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
        project.check_allowed(planned)
        if not yes and is_terminal():
            confirm(project, planned.plan)
        done = run(project, planned, arguments, how)
        made = {key for key in planned.graph.clips if (row := session.store.row(key)) and row.state == "stored"}
        for words in _tell(project, session, lines, [s for s in planned.graph.clips.values() if s.fingerprint in made]):
            err(words)
    return done.exit_code


def _tell(project: Project, session: Session, lines: Sequence[Line], made: Sequence[ClipStep]) -> list[str]:
    """What became of each line's words; where there is one new take, it is used from now on."""
    words: dict[str, list[int]] = {}
    for step in made:
        words.setdefault(step.words, []).append(step.take)
    told, choices, seen = [], [], set[str]()
    for line in lines:
        numbers, address = words.get(line.step.words, []), line.address
        if not numbers or line.step.words in seen:
            continue
        seen.add(line.step.words)
        also = "".join(f"; also used by {other}" for other in sharing(line.step, address))
        if line.fixed_at is not None:
            told.append(
                f"{address}: take {_list(numbers)} is here; to use it, write take: {numbers[0]} at {line.fixed_at}"
            )
        elif len(numbers) == 1:
            choices.append((line, numbers[0]))
            undo = f"undo: fishpipe takes use {address} {line.step.take}"
            told.append(f"{address}: take {numbers[0]} is used from now on{also} ({undo})")
        else:
            told.append(f"{address}: takes {_list(numbers)} are here{also}; choose: fishpipe takes use {address} N")
    if choices:
        pin(project, session, choices)
        told.append("next: fishpipe build")
    return told


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


command = common(retake)
