"""What a build may not do: spend more than its budget, pay at all, change the lock, use the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fishpipe.errors import BudgetError, PlanRefused
from fishpipe.report.plans import collect_lines, missing_lines, paid_lines
from fishpipe.report.prose import cost_words, count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.lock import Lock
    from fishpipe.manifest.model import Budget
    from fishpipe.plan import Plan

_MOST = 50


class Rules(Struct, frozen=True, kw_only=True):
    """What the caller forbids: `frozen` a call that is paid, `locked` a change of the lock, `offline` any request."""

    frozen: bool = False
    locked: bool = False
    offline: bool = False


def check(plan: Plan, rules: Rules, lock: Lock, additions: Sequence[str], hints: Sequence[str] = ()) -> None:
    """Raise PlanRefused, with each call that is in the way, its place, reason and cost.

    `additions` are what `lock` would gain without a call, `hints` say where clips may be.
    """
    if plan.missing:
        what = count(len(plan.missing), "clip")
        raise PlanRefused(
            f"{what} of the lock file cannot be had here. Nothing was paid:\n{_list(missing_lines(plan))}\n"
            f"{''.join(hint + '. ' for hint in hints)}Have them from a store: fishpipe store pull. "
            "Pay for them again, or take what is here: --replace-locked"
        )
    if rules.offline and (plan.paid or plan.collect):
        what = count(len(plan.paid) + len(plan.collect), "call")
        lines = [*paid_lines(plan), *collect_lines(plan)]
        raise PlanRefused(
            f"{what} to make or to collect, and --offline allows none. Nothing was paid:\n{_list(lines)}\n"
            f"{''.join(hint + '. ' for hint in hints)}Build without --offline"
        )
    if rules.frozen and plan.paid:
        what = cost_words(len(plan.paid), plan.cost)
        raise PlanRefused(
            f"{what}, and --frozen allows none. Nothing was paid:\n{_list(list(paid_lines(plan)))}\n"
            "Build without --frozen, and commit the lock file and its clips"
        )
    unlocked = [f"{address}: is not in it" for address in additions]
    known = {key for _, key in lock.entries}
    news = replace(plan, collect=tuple(c for c in plan.collect if c.step.fingerprint not in known))
    if rules.locked and (plan.paid or news.collect or unlocked):
        lines = [*paid_lines(plan), *collect_lines(news), *unlocked]
        raise PlanRefused(
            f"the lock file would change, and --locked forbids it. Nothing was paid:\n{_list(lines)}\n"
            "Build without --locked, and commit the lock file"
        )


def _list(lines: Sequence[str]) -> str:
    more = [f"… and {len(lines) - _MOST:,} more (all: fishpipe plan -v)"] if len(lines) > _MOST else []
    return "\n".join(f"  {line}" for line in [*lines[:_MOST], *more])


def check_budget(plan: Plan, budget: Budget, spent_month: float, *, free: bool = False) -> None:
    """Raise BudgetError where the plan costs more than is allowed, or what cannot be known (unless it is `free`)."""
    if not plan.paid or (budget.build is None and budget.month is None):
        return
    where = f" ({budget.span})" if budget.span else ""
    usd = plan.cost.usd
    if plan.cost.unpriced and not free:
        voice = any(action.cost.unpriced for action in plan.voices)
        what = "a voice" if voice else next(action.step.model for action in plan.clips if action.cost.unpriced)
        price = "voice: 0.50" if voice else f"models: {{{what}: 15}}"
        example = f"provider: {{prices: {{{price}}}}}"
        if voice and budget.span is None:
            # The caller's own budget is not measured by what a project says of voices, which have no usual price.
            example = "export FISHPIPE_PRICES=voice=0.50"
        raise BudgetError(
            f"{what} has no known price, and a budget is set{where}. Nothing was paid. "
            f"Say what {'a voice' if voice else 'it'} costs: {example}"
        )
    calls = f"{len(plan.paid)} call{'s' if len(plan.paid) > 1 else ''}, ~${usd:.4f},"
    if budget.build is not None and usd > budget.build:
        cure = f"Allow once: --budget {usd + 0.005:.2f}"
        raise BudgetError(f"{calls} exceed budget {_usd(budget.build)}{where}. Nothing was paid. {cure}")
    if budget.month is not None and usd + spent_month > budget.month:
        spent = f"${spent_month:.4f} of the month's {_usd(budget.month)}{where} is spent"
        raise BudgetError(f"{calls} exceed the budget: {spent}. Nothing was paid. Raise budget: {{month: …}} to go on")


def _usd(amount: float) -> str:
    return f"${amount:.2f}" if round(amount, 2) == amount else f"${amount:.4f}"
