"""Whether a build may go ahead: its rules, its budget, the token, the room on the disk. Nothing is paid before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from fishpipe.errors import PlanRefused, StoreError
from fishpipe.graph.steps import ClipStep
from fishpipe.locking import would_change
from fishpipe.machine import free_bytes
from fishpipe.manifest.model import Usd
from fishpipe.plan import Missing
from fishpipe.rules import Rules, check, check_budget

if TYPE_CHECKING:
    from fishpipe.manifest.model import Budget
    from fishpipe.plan import Plan
    from fishpipe.project import Project, Session

# What a clip takes on disk, at least: seconds of speech a byte of text, and some room to work in.
_SECONDS_A_BYTE: Final = 1 / 14
_ROOM: Final = 4 << 20


def refusal(project: Project, session: Session, rules: Rules | None = None) -> str:
    """Why a build of this plan would be refused; "" where it would not."""
    try:
        if rules is not None:
            check_rules(project, session, rules)
        check_budget(session.plan, project.budget, session.snapshot.spent_month, free=project.provider == "sandbox")
    except PlanRefused as error:
        return str(error)
    return ""


def check_allowed(project: Project, session: Session, rules: Rules | None = None, *, spent: float = 0.0) -> None:
    """Raise PlanRefused, BudgetError, AuthError or StoreError (no room on the disk) before anything is paid.

    `spent` is what this build has paid already, in USD.
    """
    plan = session.plan
    check_rules(project, session, rules or Rules())
    check_budget(plan, _left(project.budget, spent), session.snapshot.spent_month, free=project.provider == "sandbox")
    if plan.paid:
        _check_room(project, plan)
    asks = [action for action in plan.collect if action.row.state not in ("answered", "fetched")]
    if project.provider == "sandbox" or not (plan.paid or asks):
        return
    what = f"{len(plan.paid)} call{'s' if len(plan.paid) != 1 else ''}" if plan.paid else "collecting"
    usd = f" (~${plan.cost.usd:.4f})" if plan.paid else ""
    project.access.check(f"{what}{usd} {'need' if len(plan.paid) > 1 else 'needs'}")


def check_rules(project: Project, session: Session, rules: Rules) -> None:
    """Raise PlanRefused where a build of this plan would break a rule."""
    plan, locked = session.plan, session.snapshot.lock.clips
    hints = _hints(session)
    if project.provider != "sandbox" and project.choices.token is None and not session.options.replace_locked:
        # Without a token no task can be asked.
        gone = [c for c in plan.collect if c.row.state == "stored" and c.step.fingerprint in locked]
        missing = [Missing(step=c.step, reason=c.reason, cost=c.cost) for c in gone if isinstance(c.step, ClipStep)]
        plan = replace(plan, missing=(*plan.missing, *missing))
        hints += ["Their tasks may give them for free: set ACEDATACLOUD_API_TOKEN"] if missing else []
    check(plan, rules, session.snapshot.lock, would_change(session.graph, session.snapshot), hints)


def _hints(session: Session) -> list[str]:
    """Why clips of the store may not be here."""
    shared = session.store.shared
    away = [f"The store {shared.folder} is not there: mount it"] if shared and shared.is_away else []
    return away + (["Some are left with git-lfs: git lfs pull"] if session.snapshot.pointers else [])


def _check_room(project: Project, plan: Plan) -> None:
    """A disk that is about to be full would lose what is paid for."""
    steps = [speak.step for speak in plan.clips]
    rates = [(step.bytes, step.sample_rate * 2 if step.format == "pcm" else 192_000 // 8) for step in steps]
    wanted = int(sum(size * _SECONDS_A_BYTE * rate for size, rate in rates)) + _ROOM
    free = free_bytes(project.layout.state)
    if free is not None and free < wanted:
        raise StoreError(
            f"{project.layout.state} has {free / 1e6:.0f} MB left, and the clips take about {wanted / 1e6:.0f} MB. "
            "Nothing was paid. Make room, and build again"
        )


def ceiling(project: Project, session: Session, *, spent: float = 0.0) -> float | None:
    """The most that this run may spend in USD, by what the build's budget and the month's have left."""
    budget = _left(project.budget, spent)
    left = None if budget.month is None else budget.month - session.snapshot.spent_month
    return min((limit for limit in (budget.build, left) if limit is not None), default=None)


def _left(budget: Budget, spent: float) -> Budget:
    return budget if budget.build is None else replace(budget, build=Usd(budget.build - spent))
