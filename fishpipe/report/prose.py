"""Values → the words that a person reads: money, durations, reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fishpipe.shown import shown

if TYPE_CHECKING:
    from fishpipe.plan import Cost, Reason

_SHOWN: Final = 48
_SAID: Final = {
    "paid for": "paid for already: collect it",
    "left with git-lfs": "its clip is left with git-lfs: git lfs pull",
    "locked, not here": "it is in the lock file and not here, and no task is known to give it",
}


def money(usd: float | None, unpriced: int = 0) -> str:
    """An estimate: ``~$0.0013``; four decimals below a dollar, two above."""
    if usd is None or (unpriced and not usd):
        return "price unknown"
    known = f"~${usd:.4f}" if usd < 1 else f"~${usd:,.2f}"
    return f"{known} + {count(unpriced, 'call')} of unknown price" if unpriced else known


def cost_words(calls: int, cost: Cost) -> str:
    """``3 calls, 120 bytes, ~$0.0018``."""
    return f"{count(calls, 'call')}, {cost.bytes:,} bytes, {money(cost.usd, cost.unpriced)}"


def count(number: int, noun: str) -> str:
    """``1 call``, ``2 calls``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def megabytes(size: int) -> str:
    """``12.3 MB``, ``840 kB``."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def clock(seconds: float) -> str:
    """``0:52.3``, ``1:02:03.0``."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    lead = f"{hours}:{minutes:02d}" if hours else str(minutes)
    return f"{lead}:{rest // 10:02d}.{rest % 10}"


def short(text: str, limit: int = _SHOWN) -> str:
    """A text on one line, cut in the middle of nowhere with an ellipsis."""
    line = shown(" ".join(text.split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def because(reason: Reason) -> str:
    """A reason in words."""
    dropped = f" (take {reason.dropped_take} was chosen for the words before; these begin at take 1)"
    return _why(reason) + (dropped if reason.dropped_take > 1 else "")


def _why(reason: Reason) -> str:
    match reason.code:
        case "changed" if reason.what == "text":
            before, after = _around_change(reason.before, reason.after)
            return f'text changed: "{before}" → "{after}"'
        case "lexicon":
            before, after = _around_change(reason.before, reason.after)
            return f'lexicon changed ({reason.what}): "{before}" → "{after}"'
        case "changed":
            return f"{reason.what} changed: {short(reason.before)} → {short(reason.after)}"
        case "voice changed":
            return f"voice {reason.what} changed" if reason.what else "voice changed"
        case "in doubt":
            return f"in doubt: it may have been charged{reason.what and f' ({short(reason.what, 80)})'}"
        case "refused before" | "failed before":
            return f"{reason.code}{reason.what and f': {short(reason.what, 80)}'}"
        case "retake":
            return f"take {reason.what}"
        case "not the lock's clip":
            return f"the clip here (sha256 {reason.after[:12]}…) is not the lock's ({reason.before[:12]}…)"
        case "clips to come":
            return f"{count(int(reason.what), 'clip')} to come"
        case code:
            return _SAID.get(code, code)


def _around_change(before: str, after: str) -> tuple[str, str]:
    """Both texts, begun shortly before the first difference where they are too long to show whole."""
    if max(len(before), len(after)) <= _SHOWN:
        return short(before), short(after)
    same = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    start = max(0, same - _SHOWN // 3)
    lead = "…" if start else ""
    return lead + short(before[start:]), lead + short(after[start:])
