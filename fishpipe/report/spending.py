"""Receipts → sums, and comma-separated values."""

from __future__ import annotations

import csv
import datetime
import io
from typing import TYPE_CHECKING, Any, Final

from fishpipe.report.prose import count, money
from fishpipe.shown import shown

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from fishpipe.manifest.model import Prices
    from fishpipe.snapshot import CallRow, Calls

_FORMULAS: Final = "=+-@\t\n＝＋－＠"
_COLUMNS: Final = (
    "at", "kind", "realm", "script", "address", "voice", "model", "bytes", "usd", "task_id", "trace_id", "fingerprint",
    "take", "locked",
)  # fmt: skip


def spending_data(receipts: Sequence[dict[str, Any]], by: str, realm: str, locked: Container[str]) -> dict[str, Any]:
    """The sums by `day`, `month` (UTC), `script`, `voice`, `model` or `take`, and the receipts; `usd` are estimates.

    `locked` are the fingerprints that the lock has.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    rows = [_row(receipt, locked) for receipt in receipts]
    for row in rows:
        groups.setdefault(_group(row, by), []).append(row)
    return {
        "realm": realm,
        "by": by,
        "groups": [{by: name, **_sum(found)} for name, found in sorted(groups.items())],
        "total": _sum(rows),
        "retakes": _sum([row for row in rows if row["take"] != 1]),
        "locked": _sum([row for row in rows if row["locked"]]),
        "receipts": rows,
    }


def doubts(calls: Calls, prices: Prices, realm: str) -> list[dict[str, Any]]:
    """Calls that may have been charged and have no receipt yet, as receipts: the service may count them."""
    rows = [row for row in calls.of(states=("intended", "failed")) if row.charged == "unknown" and row.task_id is None]
    return [_doubt(row, prices) for row in rows if row.record.get("realm") == realm]


def _doubt(row: CallRow, prices: Prices) -> dict[str, Any]:
    body, model = row.record.get("body", {}), str(row.record.get("model") or "fish-tts")
    is_clip = row.kind == "clip"
    size = len(str(body.get("text", body.get("prompt", ""))).encode("utf-8", "replace")) if is_clip else 0
    price = prices.of(model) if is_clip else prices.voice
    usd = size * price / 1e6 if is_clip and price is not None else price
    known = {"trace_id": row.trace_id, "fingerprint": row.fingerprint, "realm": row.record["realm"], "at": row.intended}
    named = {"address": row.address or "", "model": model if is_clip else "", "take": row.record.get("take", 1)}
    return {**known, **named, "kind": "in doubt", "voice": "", "task_id": None, "bytes": size, "usd": usd}


def spending_text(data: dict[str, Any]) -> str:
    """The same for a person."""
    by, total = data["by"], data["total"]
    if not total["calls"]:
        return "nothing was paid"
    rows = [(group[by], *_words(group)) for group in data["groups"]]
    rows = [(by, "calls", "bytes", "USD (estimate)"), *rows, ("in all", *_words(total))]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(row[n].rjust(widths[n]) for n in (1, 2, 3))]).rstrip() for row in rows
    ]
    if total["in_doubt"]:
        lines.append(f"{count(total['in_doubt'], 'call')} of these may have been charged: no good answer was read")
    for name, what in (("retakes", "further takes"), ("locked", "what the lock file has")):
        if data[name]["calls"]:
            lines.append(f"of these {what}: {count(data[name]['calls'], 'call')}, {_words(data[name])[2]}")
    if data["realm"] == "loopback":
        lines.append("a service on this machine: nothing was really paid")
    return "\n".join(lines)


def receipts_csv(receipts: Sequence[dict[str, Any]], locked: Container[str]) -> str:
    """Every receipt, oldest first (RFC 4180 but for its line ends); an unknown price is empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for receipt in receipts:
        writer.writerow({name: _cell(value) for name, value in _row(receipt, locked).items()})
    return file.getvalue()


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if text[:1] in _FORMULAS and text else text


def _row(receipt: dict[str, Any], locked: Container[str]) -> dict[str, Any]:
    moment = datetime.datetime.fromtimestamp(receipt["at"], datetime.UTC)
    script, slash, _ = receipt["address"].partition("/")
    named = {**receipt, "at": moment.isoformat(timespec="seconds"), "script": script if slash else "(voices)"}
    named["locked"] = receipt["fingerprint"] in locked
    return {name: named[name] for name in _COLUMNS}


def _group(row: dict[str, Any], by: str) -> str:
    match by:
        case "day":
            return str(row["at"][:10])
        case "month":
            return str(row["at"][:7])
        case _:
            return str(row[by] or "-")


def _sum(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "calls": len(rows),
        "bytes": sum(row["bytes"] for row in rows),
        "usd": sum(row["usd"] or 0.0 for row in rows),
        "unpriced": sum(1 for row in rows if row["usd"] is None),
        "in_doubt": sum(1 for row in rows if row["kind"] == "in doubt"),
    }


def _words(group: dict[str, Any]) -> tuple[str, str, str]:
    return f"{group['calls']:,}", f"{group['bytes']:,}", money(group["usd"], group["unpriced"])
