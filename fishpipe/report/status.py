"""What is built, stale, in doubt and failed; where each segment lies; what was spent."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from fishpipe.locking import would_change
from fishpipe.report.prose import because, clock, count, money, short

if TYPE_CHECKING:
    from fishpipe.graph.steps import Graph, Item, OutputStep
    from fishpipe.plan import Plan, Reason
    from fishpipe.snapshot import Snapshot


def status_data(graph: Graph, snapshot: Snapshot, plan: Plan, spent: float) -> dict[str, Any]:
    """The state of a project as plain data; starts and ends in samples of the output and in seconds."""
    stale = {str(stitch.step.output.path): stitch.reason for stitch in plan.stitches}
    return {
        "outputs": [_output(step, snapshot, stale.get(str(step.output.path))) for step in graph.outputs],
        "clips": _clips(graph, snapshot),
        "voices": _voices(graph, snapshot),
        "takes": _takes(graph),
        "lock": {
            "path": snapshot.lock.name,
            "clips": len(snapshot.lock.clips),
            "voices": len(snapshot.lock.voices),
            "pins": len(snapshot.lock.pins),
            "to_add": len(would_change(graph, snapshot)),
            "missing": len(plan.missing),
        },
        "to_pay": {
            "calls": len(plan.paid),
            "bytes": plan.cost.bytes,
            "usd": plan.cost.usd,
            "unpriced": plan.cost.unpriced,
        },
        "spent_usd": spent,
        "spent_month_usd": snapshot.spent_month,
    }


def status_text(data: dict[str, Any]) -> str:
    """The same for a person."""
    lines = []
    for output in data["outputs"]:
        length = f"  {clock(output['seconds'])}" if output["seconds"] is not None else ""
        lines.append(f"{output['path']}  {output['state']}{length}{output['why'] and ': ' + output['why']}")
    clips = data["clips"]
    parts = [
        f"{number:,} {name.replace('_', ' ')}" for name, number in clips.items() if isinstance(number, int) and number
    ]
    lines.append(f"clips: {', '.join(parts) or 'none'}")
    for item in clips["problems"]:
        error = f": {short(item['error'], 100)}" if item["error"] else ""
        lines += [f"  {item['place']}: {item['address']}: {item['state']}{error}"]
    for voice in data["voices"]:
        consent = f"; consent: {short(voice['consent'], 80)}" if voice["consent"] else ""
        lines.append(f"voice {voice['name']}: {voice['state']}{voice['id'] and ' ' + voice['id']}{consent}")
    lines += [f"take {found['take']}: {found['address']}" for found in data["takes"]]
    lines.append(_lock(data["lock"]))
    to_pay = data["to_pay"]
    if to_pay["calls"]:
        lines.append(
            f"to pay: {count(to_pay['calls'], 'call')}, {money(to_pay['usd'], to_pay['unpriced'])} (why: fishpipe plan)"
        )
    lines.append(f"spent: {money(data['spent_usd'])} in all, {money(data['spent_month_usd'])} this month (estimates)")
    return "\n".join(lines)


def _output(step: OutputStep, snapshot: Snapshot, reason: Reason | None) -> dict[str, Any]:
    row = snapshot.outputs.get(str(step.output.path))
    there = snapshot.files.get(str(step.output.path)) != "absent"
    state = "up to date" if reason is None else "stale" if row and there else "missing"
    # The places on record are those of the items as they were stitched: of use only while nothing has changed.
    places = row.places if row is not None and reason is None else ()
    rate = row.rate if row is not None else 0
    return {
        "path": step.output.shown,
        "script": step.script,
        "state": state,
        "why": because(reason) if reason else "",
        "seconds": row.length / row.rate if row and there else None,
        "samples": row.length if row and there else None,
        "sample_rate": step.output.sample_rate,
        "segments": [_segment(item, rate, place) for item, place in zip_longest(step.items, places[: len(step.items)])],
    }


def _segment(item: Item, rate: int, place: tuple[int, int] | None) -> dict[str, Any]:
    kind = "text" if item.clip else "audio" if item.asset else "pause"
    data: dict[str, Any] = {"address": item.address, "place": str(item.span), "kind": kind}
    for name in ("chapter", "caption", "text"):
        if getattr(item, name) is not None:
            data[name] = getattr(item, name)
    if place is not None:
        start, end = place
        data |= {"start": start, "end": end, "start_seconds": start / rate, "end_seconds": end / rate}
    return data


def _takes(graph: Graph) -> list[dict[str, Any]]:
    """The segments that use another take than the first."""
    return [
        {"address": use.address, "place": str(use.span), "take": step.take}
        for address, step in graph.spoken.items()
        for use in step.uses
        if step.take != 1 and use.address == address
    ]


def _lock(lock: dict[str, Any]) -> str:
    to_add = f"; {lock['to_add']} to add (fishpipe build)" if lock["to_add"] else ""
    missing = f"; {lock['missing']} not here (fishpipe store pull)" if lock["missing"] else ""
    return f"lock {lock['path']}: {count(lock['clips'], 'clip')}, {count(lock['pins'], 'chosen take')}{to_add}{missing}"


def _clips(graph: Graph, snapshot: Snapshot) -> dict[str, Any]:
    counts = {"stored": 0, "to_speak": 0, "to_collect": 0, "in_doubt": 0, "failed": 0}
    problems = []
    for key in graph.clips:
        if key in snapshot.clips:
            counts["stored"] += 1
            continue
        row = snapshot.calls.get(key)
        state = row.state if row else None
        group = {
            "submitted": "to_collect", "answered": "to_collect", "fetched": "to_collect",
            "intended": "in_doubt", "lost": "in_doubt", "failed": "failed",
        }.get(state or "", "to_speak")  # fmt: skip
        counts[group] += 1
        if row is not None and (group in ("in_doubt", "failed") or row.error):
            use = graph.clips[key].uses[0]
            shown = group.replace("_", " ")
            problems.append({"address": use.address, "place": str(use.span), "state": shown, "error": row.error or ""})
    return {**counts, "problems": problems}


def _voices(graph: Graph, snapshot: Snapshot) -> list[dict[str, Any]]:
    voices = []
    for key, step in graph.voices.items():
        row = snapshot.calls.get(key)
        state = {None: "to create", "intended": "in doubt"}.get(row.state if row else None, row.state if row else "")
        voices.append(
            {
                "name": step.name,
                "state": state,
                "id": (row.voice_id or "") if row else "",
                "consent": step.voice.consent or (row.consent if row else None),
            }
        )
    for voice_id, voice in graph.existing.items():
        voices.append({"name": voice.name, "state": "existing", "id": voice_id, "consent": voice.consent})
    return voices
