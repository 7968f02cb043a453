"""What changed since a revision → text, Markdown (for a pull request), or plain data."""

from __future__ import annotations

import re
from collections import Counter
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Final

from fishpipe.report.prose import clock, cost_words, count, money, short
from fishpipe.shown import one_line, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fishpipe.compare import Change, State
    from fishpipe.graph.steps import ClipStep
    from fishpipe.plan import Plan

    Words = Sequence[tuple[str, str]]

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()#+!|<>~])")
# What GitHub makes a link of, wherever it stands: a mention, a number, an address.
_LINKED: Final = re.compile(r"@(?=\w)|#(?=\d)|GH-(?=\d)|\bhttps?(?=:)|\bwww(?=\.)", re.IGNORECASE)
_SIGNS: Final = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}


def diff_data(
    rev: str, commit: str, moved_from: str, changes: Sequence[Change], states: tuple[State, State], plan: Plan
) -> dict[str, Any]:
    """All changes as plain data; `states` are those before and after, `usd` estimates of what a build would pay."""
    costs: dict[str, Any] = {speak.step.fingerprint: speak.cost for speak in plan.clips}
    before, after = states
    names = [*after.scripts, *(name for name in before.scripts if name not in after.scripts)]
    return {
        "rev": rev,
        "commit": commit,
        "moved_from": moved_from,
        "changes": [_change(change, costs) for change in changes],
        "counts": dict(Counter(change.kind for change in changes)),
        "seconds": {name: {"before": before.seconds.get(name), "after": after.seconds.get(name)} for name in names},
        "to_pay": {
            "calls": len(plan.paid),
            "bytes": plan.cost.bytes,
            "usd": plan.cost.usd,
            "unpriced": plan.cost.unpriced,
        },
        "text": cost_words(len(plan.paid), plan.cost) if plan.paid else "nothing to pay",
    }


def diff_text(data: dict[str, Any]) -> str:
    """The same for a person: a line a change, words as ``[-was-]{+is+}``."""
    lines = []
    for change in data["changes"]:
        what = "; ".join(_details(change, _plain))
        price = f" ({change['price']})" if change["price"] else ""
        lines.append(f"{_SIGNS[change['kind']]} {change['place']}: {change['address']}: {what}{price}")
    lines += [f"{name}: {_span(seconds)}" for name, seconds in data["seconds"].items() if _differs(seconds)]
    moved = f" ({data['moved_from']} then)" if data["moved_from"] else ""
    return "\n".join([*lines, f"{_counts(data)} since {data['rev']} ({data['commit'][:10]}){moved}; {data['text']}"])


def diff_markdown(data: dict[str, Any]) -> str:
    """The same as a comment of a pull request."""
    rev = one_line(data["rev"], 100).replace("`", "'")
    lines = [f"**{_counts(data)}** since `{rev}`; {_escaped(data['text'])}"]
    if data["changes"]:
        lines += ["", "| line | change | cost |", "| --- | --- | --- |"]
    for change in data["changes"]:
        what = "<br>".join(_details(change, _marked, escape=_escaped))
        lines.append(f"| {_escaped(change['address'])} | {what} | {_escaped(change['price'])} |")
    durations = [f"- {_escaped(name)}: {_span(s)}" for name, s in data["seconds"].items() if _differs(s)]
    return "\n".join([*lines, *(["", *durations] if durations else [])])


def _change(change: Change, costs: Mapping[str, Any]) -> dict[str, Any]:
    before, after = change.before, change.after
    step = after.step if after else None
    cost = costs.get(step.fingerprint) if step is not None else None
    heard = after is not None and (before is None or before.step is None or before.step.fingerprint != _key(step))
    price = money(cost.usd, cost.unpriced) if cost else "paid" if step is not None and heard else ""
    data: dict[str, Any] = {
        "kind": change.kind,
        "script": change.script,
        "address": change.line.address,
        "place": f"{change.line.span.file}:{change.line.span.line}" if after else "removed",
        "what": list(change.what),
        "before": _line(before),
        "after": _line(after),
        "settings": [{"name": name, "before": was, "after": now} for name, was, now in change.settings],
        "bytes": cost.bytes if cost else 0,
        "usd": cost.usd if cost else 0.0,
        "price": price,
    }
    if before and after and "words" in change.what:
        data["words"] = [{"op": op, "text": text} for op, text in word_diff(before.words, after.words)]
    return data


def _key(step: ClipStep | None) -> str:
    return step.fingerprint if step is not None else ""


def _line(line: Any) -> dict[str, Any] | None:  # noqa: ANN401
    if line is None:
        return None
    return {"address": line.address, "kind": line.kind, "words": line.words, "voice": line.voice, "take": line.take}


def word_diff(before: str, after: str) -> list[tuple[str, str]]:
    """(same, del or ins; text) in order: two texts compared word by word."""
    old, new = re.findall(r"\s+|[^\s]+", before), re.findall(r"\s+|[^\s]+", after)
    found: list[tuple[str, str]] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            found.append(("same", "".join(old[i1:i2])))
            continue
        if i2 > i1:
            found.append(("del", "".join(old[i1:i2])))
        if j2 > j1:
            found.append(("ins", "".join(new[j1:j2])))
    return found


def _details(change: dict[str, Any], words: Callable[[Words], str], escape: Callable[[str], str] = str) -> list[str]:
    """What is said of one change, in parts."""
    before, after = change["before"], change["after"]
    if change["kind"] in ("added", "removed"):
        line = after or before
        said = (
            f'"{escape(short(line["words"], 100))}"'
            if line["kind"] == "text"
            else escape(f"{line['kind']} {line['words']}")
        )
        return [f"{change['kind']}: {said}"]
    parts = []
    if "words" in change["what"]:
        parts.append(f'"{words([(item["op"], item["text"]) for item in change["words"]])}"')
    if "voice" in change["what"]:
        parts.append(f"voice {escape(before['voice'] or 'default')} → {escape(after['voice'] or 'default')}")
    parts += [escape(f"{s['name']} {short(s['before'])} → {short(s['after'])}") for s in change["settings"]]
    if "take" in change["what"]:
        parts.append(f"take {before['take']} → {after['take']}")
    if "order" in change["what"]:
        parts.append(f"moved (it was {escape(before['address'])})")
    return parts


def _plain(words: Words) -> str:
    marks = {"same": "{}", "del": "[-{}-]", "ins": "{{+{}+}}"}
    return "".join(marks[op].format(" ".join(text.split("\n"))) for op, text in words)


def _marked(words: Words) -> str:
    parts = []
    for op, text in words:
        plain = _escaped(" ".join(text.split("\n")))
        inner, mark = plain.strip(), {"same": "", "del": "~~", "ins": "**"}[op]
        parts.append(plain.replace(inner, f"{mark}{inner}{mark}", 1) if inner else plain)
    return "".join(parts)


def _escaped(text: str) -> str:
    """Words in Markdown that stand for themselves: no markup, no HTML, no mention of anybody, no link."""
    plain = _SPECIAL.sub(r"\\\1", shown(" ".join(text.split("\n"))).replace("&", "&amp;"))
    return _LINKED.sub(lambda found: f"{found[0]}&#8203;", plain)


def _counts(data: dict[str, Any]) -> str:
    counts = data["counts"]
    parts = [f"{counts[kind]} {kind}" for kind in ("changed", "added", "removed", "moved") if counts.get(kind)]
    return f"{', '.join(parts)} ({count(len(data['changes']), 'line')})" if parts else "no line changed"


def _differs(seconds: dict[str, float | None]) -> bool:
    before, after = seconds["before"], seconds["after"]
    return round(before or 0.0, 1) != round(after or 0.0, 1)


def _span(seconds: dict[str, float | None]) -> str:
    shown = [f"about {clock(value)}" if value is not None else "-" for value in (seconds["before"], seconds["after"])]
    return " → ".join(shown)
