"""A plan → text, or JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from fishpipe.graph.steps import ClipStep, VoiceStep
from fishpipe.report.prose import because, cost_words, count, money, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fishpipe.plan import Differing, Plan, Reason

_MOST: Final = 30


def plan_text(plan: Plan, *, whole: bool = False, free: bool = False) -> str:
    """What a build would do: a line an action with its place, its cost and its reason, and the sum."""
    notes = [_differs(differing) for differing in plan.differing]
    if plan.is_empty:
        return "\n".join([*notes, f"Nothing to do. {count(plan.reused, 'clip')} up to date."])
    lines = [*notes, *_calls(plan)]
    if not whole and len(lines) > _MOST:
        lines = [*lines[:_MOST], f"… and {len(lines) - _MOST:,} more (all: -v)"]
    lines += [*_lexicon(plan), *_stitches(plan)]
    return "\n".join([*lines, _sum(plan, free=free)])


def _lexicon(plan: Plan) -> Iterator[str]:
    """How many lines each changed word of the lexicon has spoken again."""
    reasons = (speak.reason for speak in plan.clips if speak.reason.code == "lexicon")
    words = Counter(word for reason in reasons for word in reason.what.split(", "))
    for word, lines in words.most_common():
        yield f"lexicon {word}: {count(lines, 'line')} to speak again"


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan as plain data."""
    paid = [
        {
            "action": "create_voice" if isinstance(action.step, VoiceStep) else "speak",
            **_step(action.step),
            "reason": _reason(action.reason),
            "bytes": action.cost.bytes,
            "usd": action.cost.usd,
            "unpriced": action.cost.unpriced,
        }
        for action in plan.paid
    ]
    free = [
        {"action": name, **_step(action.step), "reason": _reason(action.reason), "bytes": 0, "usd": 0.0}
        for name, actions in (("collect", plan.collect), ("held", plan.held), ("missing", plan.missing))
        for action in actions
    ]
    outputs = [
        {"action": "stitch", "output": stitch.step.output.shown, "reason": _reason(stitch.reason)}
        for stitch in plan.stitches
    ]
    return {
        "calls": len(plan.paid),
        "bytes": plan.cost.bytes,
        "usd": plan.cost.usd,
        "unpriced": plan.cost.unpriced,
        "reused": plan.reused,
        "actions": [*paid, *free, *outputs],
        "differing": [{**_step(found.step), "fields": list(found.fields)} for found in plan.differing],
        "up_to_date": [step.output.shown for step in plan.fresh],
    }


def _stitches(plan: Plan) -> Iterator[str]:
    """A line an output; the lines' own files of one pattern are one."""
    exports: dict[str, list[Reason]] = {}
    for stitch in plan.stitches:
        output = stitch.step.output
        if output.pattern:
            exports.setdefault(output.pattern, []).append(stitch.reason)
        else:
            yield f"stitch {output.shown}: {because(stitch.reason)}"
    for pattern, reasons in exports.items():
        yield f"stitch {pattern}: {count(len(reasons), 'line')}: {because(reasons[0])}"


def paid_lines(plan: Plan) -> Iterator[str]:
    """A line for each call that is paid, with its place, cost and reason."""
    for action in plan.voices:
        step = action.step
        price = money(action.cost.usd, action.cost.unpriced)
        yield f"{step.span}: create voice {step.name}: {price}: {because(action.reason)}"
    for speak in plan.clips:
        why = f"{because(speak.reason)}{_words(speak.step, speak.reason)}"
        yield f"{_where(speak.step)}: {money(speak.cost.usd, speak.cost.unpriced)}: {why}"


def collect_lines(plan: Plan) -> Iterator[str]:
    """A line for each call whose answer is fetched."""
    for collect in plan.collect:
        yield f"{_where(collect.step)}: collect: {because(collect.reason)}"


def missing_lines(plan: Plan) -> list[str]:
    """A line for each clip of the lock that is not here."""
    return [f"{_where(missing.step)}: {because(missing.reason)}" for missing in plan.missing]


def _calls(plan: Plan) -> Iterator[str]:
    yield from paid_lines(plan)
    yield from collect_lines(plan)
    for held in plan.held:
        yield f"{_where(held.step)}: held: {because(held.reason)}"
    yield from missing_lines(plan)


def _differs(differing: Differing) -> str:
    step = differing.step
    fields = " and ".join(differing.fields)
    again = f"made anew, and charged: fishpipe voices forget {step.name}"
    return f"{step.span}: voice {step.name}: made with another {fields}; it is not heard, and nothing is done ({again})"


def _where(step: ClipStep | VoiceStep) -> str:
    if isinstance(step, VoiceStep):
        return f"{step.span}: voice {step.name}"
    use = step.uses[0]
    more = f" (and {len(step.uses) - 1} more)" if len(step.uses) > 1 else ""
    return f"{use.span.file}:{use.span.line}: {use.address}{more}"


def _words(step: ClipStep, reason: Reason) -> str:
    return f': "{short(step.text)}"' if reason.code == "new" else ""


def _sum(plan: Plan, *, free: bool) -> str:
    cost = plan.cost
    parts = [cost_words(len(plan.paid), cost) if plan.paid else "0 calls, nothing to pay"]
    if plan.paid:
        parts.append("sandbox: free" if free else "an estimate")
    if plan.collect:
        parts.append(f"{len(plan.collect)} to collect")
    if plan.held:
        parts.append(f"{len(plan.held)} held")
    if plan.missing:
        parts.append(f"{len(plan.missing)} missing: fishpipe store pull, or build --replace-locked")
    parts.append(f"{count(plan.reused, 'clip')} reused")
    return "; ".join(parts)


def _step(step: ClipStep | VoiceStep) -> dict[str, Any]:
    if isinstance(step, VoiceStep):
        return {"voice": step.name, "place": str(step.span), "fingerprint": step.fingerprint}
    return {
        "segments": [{"address": use.address, "place": str(use.span)} for use in step.uses],
        "text": step.text,
        "fingerprint": step.fingerprint,
    }


def _reason(reason: Reason) -> dict[str, str]:
    data = {"code": reason.code, "what": reason.what, "before": reason.before, "after": reason.after}
    return {name: value for name, value in data.items() if value} | {"text": because(reason)}
