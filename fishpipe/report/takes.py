"""The takes of a segment → text, or plain data."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from fishpipe.report.prose import money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.ports import Level
    from fishpipe.takes import Take


def take_data(
    take: Take, level: Level | None, path: str | None, receipts: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]
) -> dict[str, Any]:
    """One take; `path` its clip where it is here, `entry` the lock's."""
    paid = [receipt for receipt in receipts if receipt["kind"] == "clip"]
    at = entry.get("at", "")
    if paid:
        at = datetime.datetime.fromtimestamp(paid[-1]["at"], datetime.UTC).isoformat(timespec="seconds")
    damaged = path is not None and level is None
    state = (
        "damaged"
        if damaged
        else "stored"
        if take.digest
        else "elsewhere"
        if take.locked
        else take.row.state
        if take.row
        else "never made"
    )
    return {
        "take": take.number,
        "current": take.current,
        "state": state,
        "seconds": round(level.seconds, 3) if level else entry.get("seconds"),
        "lufs": round(level.lufs, 1) if level else None,
        "true_peak": round(level.peak, 1) if level else None,
        "usd": sum(receipt["usd"] or 0.0 for receipt in receipts) if receipts else None,
        "at": at,
        "digest": take.digest or entry.get("digest"),
        "path": path,
    }


def takes_text(data: dict[str, Any]) -> str:
    """The takes of one segment for a person; the current one has a star."""
    shared = f" (also used by {', '.join(data['shared_with'])})" if data["shared_with"] else ""
    lines = [f'{data["place"]}: {data["address"]}{shared}: "{data["text"]}"']
    for take in data["takes"]:
        seconds = f"{take['seconds']:.1f} s" if take["seconds"] else "-"
        level = f"{take['lufs']:.1f} LUFS" if take["lufs"] is not None else "-"
        paid = money(take["usd"]) if take["usd"] is not None else "-"
        what = take["path"] and f"{take['path']}{' (damaged)' if take['state'] == 'damaged' else ''}"
        what = what or {"elsewhere": "not here: fishpipe store pull"}.get(take["state"], take["state"])
        star = "*" if take["current"] else " "
        lines.append(
            f"{star} take {take['take']}  {seconds:>7}  {level:>11}  {paid:>9}  {take['at'] or '-':20}  {what}"
        )
    return "\n".join(lines)
