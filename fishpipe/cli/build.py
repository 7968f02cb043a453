"""fishpipe build."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from fishpipe.cli.common import (
    Arguments,
    Seconds,
    Usd,
    again,
    common,
    err,
    event,
    is_terminal,
    open_project,
    options,
    out,
)
from fishpipe.cli.stamps import Stamper
from fishpipe.errors import Declined, FishpipeError, UsageError
from fishpipe.locking import would_change
from fishpipe.manifest.model import Speech
from fishpipe.permission import ceiling, check_allowed, check_rules
from fishpipe.plan import InDoubt, Plan, PlanOptions
from fishpipe.rules import Rules
from fishpipe.runner.run import RunOptions
from fishpipe.stamping import keep_parsed

if TYPE_CHECKING:
    from fishpipe.events import RunFinished
    from fishpipe.ports import Reporter
    from fishpipe.project import Project, Session


RULES = (
    click.option("--frozen", is_flag=True, envvar="FISHPIPE_FROZEN", help="Refuse any call that would be paid."),
    click.option("--locked", is_flag=True, envvar="FISHPIPE_LOCKED", help="Refuse to change the lock file."),
    click.option("--offline", is_flag=True, envvar="FISHPIPE_OFFLINE", help="Refuse any request, paid or free."),
)


@options(
    click.option("-n", "--dry-run", is_flag=True, help="Show the plan and stop."),
    click.option("-j", "--jobs", type=click.IntRange(1, 100), envvar="FISHPIPE_JOBS", help="Calls in flight at once."),
    click.option("-k", "--keep-going", is_flag=True, help="After a failure, finish what does not depend on it."),
    click.option("-B", "--force", is_flag=True, help="Stitch all outputs again; calls nothing."),
    click.option("--collect", is_flag=True, help="Fetch what is paid for; pay for nothing."),
    click.option("--budget", type=Usd(min=0), envvar="FISHPIPE_BUDGET", help="USD this build may spend."),
    click.option(
        "--in-doubt", type=click.Choice(["ask", "retry", "skip"]), default="ask", envvar="FISHPIPE_IN_DOUBT",
        help="Calls that may have been charged: ask, pay again, or leave.",
    ),
    *RULES,
    click.option("--replace-locked", is_flag=True, help="Pay again for clips of the lock file that are lost."),
    click.option("--deadline", type=Seconds(), envvar="FISHPIPE_DEADLINE", help="Stop after this long: 90s, 20m, 2h."),
    click.option("--refresh", is_flag=True, help="Look voices by id up again."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask."),
    click.option("--wait", is_flag=True, help="Wait for another run of this project."),
)  # fmt: skip
def build(
    arguments: Arguments, dry_run: bool, jobs: int | None, keep_going: bool, force: bool, collect: bool,
    budget: float | None, in_doubt: InDoubt, frozen: bool, locked: bool, offline: bool, replace_locked: bool,
    deadline: float | None, refresh: bool, yes: bool, wait: bool,
) -> int:  # fmt: skip
    r"""Speak what is new, and stitch what changed.

    \b
      fishpipe build                       all outputs
      fishpipe build episode-1             one script
      fishpipe build -n                    only show the plan
      fishpipe build --provider sandbox    a free draft, in .fishpipe/draft
      fishpipe build --collect             after a crash: fetch what is paid for, pay nothing
      fishpipe build --frozen --offline    from the lock file and its clips alone: the same bytes, or exit 5
      fishpipe build --deadline 20m        for CI: stop in time, and go on in the next run
    """
    chosen = PlanOptions(force=force, in_doubt=in_doubt, replace_locked=replace_locked)
    rules = Rules(frozen=frozen, locked=locked, offline=offline)
    if offline and refresh:
        raise UsageError("--refresh asks the service, and --offline forbids it; leave one out")
    if dry_run:
        from fishpipe.cli.plan import show_plan

        return show_plan(arguments, chosen, collect=collect, budget=budget, rules=rules)
    stamper = Stamper(arguments)
    project = open_project(arguments, concurrency=jobs, budget=budget)
    stamper.look(project)
    with project.session(arguments.targets, chosen) as session:
        if not refresh and _is_done(project, session, rules, collect=collect):
            stamper.keep(project, session.plan)
            return _nothing(arguments, session)
    with project.hold(wait=wait), project.session(arguments.targets, chosen, writing=True) as session:
        keep_parsed(project)
        if refresh and not _refreshed(project, session):
            return 1
        decided = _decide_doubt(session.plan, chosen, ask=not yes and is_terminal())
        planned = session if decided == chosen else project.replanned(session, decided)
        if collect:
            planned = replace(planned, plan=planned.plan.free_part)
        if planned.plan.is_empty:
            check_rules(project, planned, rules)
            project.settle(planned)
            tell_unshared(planned)
            return _nothing(arguments, planned)
        check_allowed(project, planned, rules)
        if not yes and is_terminal():
            confirm(project, planned.plan)
        how = RunOptions(
            keep_going=keep_going, collect_only=collect, deadline=deadline, offline=offline, locked=locked,
            retry_doubt=decided.in_doubt != "skip", ceiling=ceiling(project, planned),
            free=project.provider == "sandbox",
        )  # fmt: skip
        done = project.run(planned, reporter(arguments), how)
        tell_unshared(planned)
        if done.damaged and not (done.failed or collect):
            done = _mend(project, arguments, decided, rules, how, done, yes=yes)
    tell(project, arguments, done)
    if done.exit_code == 0:
        _seal(arguments)
    return done.exit_code


def _seal(arguments: Arguments) -> None:
    """Behind a build that did all: read all of it once more, so that the next one need not think."""
    stamper = Stamper(arguments, after_writing=True)
    if not stamper.is_asked:
        return
    with suppress(FishpipeError):
        project = open_project(arguments, warn=False)
        stamper.look(project)
        with project.session(arguments.targets) as session:
            if _is_done(project, session, Rules(), collect=False):
                stamper.keep(project, session.plan)


def _mend(
    project: Project, arguments: Arguments, options: PlanOptions, rules: Rules, how: RunOptions, done: RunFinished, *,
    yes: bool,
) -> RunFinished:  # fmt: skip
    """Clips were put aside: another plan sees to them, within the rules, and what is left of the budget.

    The project is held.
    """
    with project.session(arguments.targets, options, writing=True) as session:
        check_allowed(project, session, rules, spent=done.usd)
        if not yes and is_terminal():
            confirm(project, session.plan)
        left = ceiling(project, session, spent=done.usd)
        again = project.run(session, reporter(arguments), replace(how, ceiling=left))
    return replace(again, calls=done.calls + again.calls, bytes=done.bytes + again.bytes, usd=done.usd + again.usd,
                   stored=done.stored + again.stored, outputs=(*done.outputs, *again.outputs))  # fmt: skip


def _refreshed(project: Project, session: Session) -> bool:
    from fishpipe.casting import refresh_voices

    missing = refresh_voices(project, session)
    for error in missing:
        err(str(error))
    return not missing


def _is_done(project: Project, session: Session, rules: Rules, *, collect: bool) -> bool:
    """Whether nothing is to do, not even in the lock; what the rules forbid is told before anything is written."""
    found = replace(session, plan=session.plan.free_part) if collect else session
    check_rules(project, found, rules)
    settled = not (would_change(session.graph, session.snapshot) or session.unshared)
    return session.plan.is_empty and settled


def _nothing(arguments: Arguments, session: Session) -> int:
    if arguments.json:
        from fishpipe.events import RunFinished
        from fishpipe.report.events import JsonReporter

        JsonReporter(out).tell(RunFinished(exit_code=0))
    elif not arguments.quiet:
        from fishpipe.report.plans import plan_text

        out(plan_text(session.plan))
    return 0


def _decide_doubt(plan: Plan, chosen: PlanOptions, *, ask: bool) -> PlanOptions:
    """Ask a person about calls in doubt; unattended, the runner's own rule holds."""
    again = [action for action in plan.paid if action.reason.code == "in doubt"]
    doubtful = [*again, *(held for held in plan.held if held.reason.code == "in doubt")]
    if chosen.in_doubt != "ask" or not doubtful or not ask:
        return chosen
    from fishpipe.report.prose import count

    question = f"{count(len(doubtful), 'call')} in doubt, which may have been charged (fishpipe plan). Pay again?"
    return replace(chosen, in_doubt="retry" if click.confirm(question, err=True) else "skip")


def confirm(project: Project, plan: Plan) -> None:
    """Ask a person before much is paid, or what cannot be known. Raises Declined."""
    from fishpipe.report.prose import cost_words

    dear = plan.cost.usd > project.budget.confirm or plan.cost.unpriced > 0
    if not plan.paid or not dear or project.provider == "sandbox":
        return
    if not click.confirm(f"Pay for {cost_words(len(plan.paid), plan.cost)}? (why: fishpipe plan)", err=True):
        raise Declined("declined. Nothing was paid. To be asked less: budget: {confirm: …}; never: --yes")


def tell(project: Project, arguments: Arguments, done: RunFinished) -> None:
    """Say how a run went."""
    from fishpipe.report.events import summary_text

    if not arguments.json and not arguments.quiet:
        out(summary_text(done, again("build", arguments.manifest, provider=arguments.provider)))
        if done.exit_code == 0 and any(not output.pattern for output in done.outputs):
            err(_next_step(project, arguments))


def tell_unshared(session: Session) -> None:
    """Say which clips did not come into the store."""
    if session.store.unshared:
        err(f"{session.store.unshared}. The clips are kept in .fishpipe; copy them later: fishpipe store push")


def _next_step(project: Project, arguments: Arguments) -> str:
    """The first line that a person would edit."""
    scripts = project.manifest.scripts.values()
    spoken = next(
        (s for script in scripts if script.outputs for s in script.segments if isinstance(s.body, Speech)), None
    )
    where = f"line {spoken.span.line} of {spoken.span.file}" if spoken else str(project.manifest.path)
    return f"next: edit {where}, then {again('plan', arguments.manifest, provider=arguments.provider)}"


def reporter(arguments: Arguments) -> Reporter:
    """What shows a run."""
    from fishpipe.report.events import JsonReporter, LineReporter, ProgressReporter

    if arguments.json:
        return JsonReporter(event)
    if is_terminal() and not arguments.quiet and not arguments.verbose:
        from rich.console import Console

        return ProgressReporter(Console(stderr=True))
    return LineReporter(err, quiet=arguments.quiet)


command = common(build)
