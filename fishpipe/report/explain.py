"""Why a segment would be spoken again; its record; its history."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

from fishpipe.recipes import encoded_because
from fishpipe.report.prose import because, money
from fishpipe.takes import takes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fishpipe.graph.steps import ClipStep, OutputStep
    from fishpipe.plan import Collect, Held, Plan, Speak
    from fishpipe.snapshot import Snapshot


def explain_data(
    address: str, step: ClipStep, snapshot: Snapshot, plan: Plan, receipts: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Everything that decides over one clip, as plain data."""
    key = step.fingerprint
    actions: list[Speak | Collect | Held] = [*plan.clips, *plan.collect, *plan.held]
    reason = next((action.reason for action in actions if action.step.fingerprint == key), None)
    row = snapshot.calls.get(key)
    return {
        "address": address,
        "place": next(str(use.span) for use in step.uses if use.address == address),
        "shared_with": [use.address for use in step.uses if use.address != address],
        "fingerprint": key,
        "record": step.record,
        "bytes": step.bytes,
        "state": row.state if row else "stored" if key in snapshot.clips else "never asked for",
        "error": row.error if row else None,
        "clip": snapshot.clips.get(key),
        "words": step.words,
        "take": step.take,
        "takes": [take.number for take in takes_of(step, snapshot) if take.is_made],
        "pinned": snapshot.lock.pins.get(step.words),
        "lock": dict(snapshot.lock.clip(key)) or None,
        "would_be": because(reason) if reason else "reused",
        "receipts": list(receipts),
    }


def ways(address: str, outputs: Iterable[OutputStep], kind: str) -> dict[str, str]:
    """How a segment goes into each output that joins frames (`mode: copy`); `kind` is what its clip is."""
    found = {}
    for step in outputs:
        numbers = [number for number, item in enumerate(step.items) if item.address == address]
        if step.output.mode == "copy" and numbers:
            why = encoded_because(step.items, numbers[0], kind)
            found[step.output.shown] = f"encoded: {why}" if why else "copied frame by frame"
    return found


def _takes(data: dict[str, Any]) -> list[str]:
    """What take this is, of how many, and what the lock says."""
    others = [str(number) for number in data["takes"] if number != data["take"]]
    chosen = ", chosen in the lock file" if data["pinned"] == data["take"] else ""
    more = f"; other takes: {', '.join(others)} (fishpipe takes {data['address']})" if others else ""
    lock = f"locked: sha256 {data['lock']['digest']}" if data["lock"] else "not in the lock file"
    return [f"take {data['take']}{chosen}{more}", lock]


def explain_text(data: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [
        f"{data['place']}: {data['address']}: {data['would_be']}",
        f"fingerprint {data['fingerprint']}",
        f"state {data['state']}{(data['error'] and ': ' + data['error']) or ''}",
    ]
    if data["clip"]:
        lines.append(f"clip sha256 {data['clip']}")
    lines += _takes(data)
    lines += [f"{output}: {way}" for output, way in data["ways"].items()]
    if data["shared_with"]:
        lines.append(f"shared with {', '.join(data['shared_with'])}")
    lines.append(json.dumps(data["record"], ensure_ascii=False, indent=2, sort_keys=True))
    for receipt in data["receipts"]:
        when = datetime.datetime.fromtimestamp(receipt["at"], datetime.UTC).isoformat(" ", "seconds")
        verb = "in doubt" if receipt["kind"] == "in doubt" else "paid"
        lines.append(f"{verb} {when} {money(receipt['usd'])} task {receipt['task_id'] or '-'} as {receipt['address']}")
    return "\n".join(lines)
