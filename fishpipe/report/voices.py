"""Voices of the service → text, or plain data."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from fishpipe.report.prose import count, short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.ports import VoiceInfo


def voice_data(voice: VoiceInfo, name: str | None) -> dict[str, Any]:
    """One voice; `name` is what the manifest calls it."""
    made = None if voice.created is None else datetime.datetime.fromtimestamp(voice.created, datetime.UTC)
    return {
        "id": voice.id,
        "name": name,
        "title": voice.title,
        "state": voice.state,
        "type": voice.type,
        "visibility": voice.visibility,
        "languages": list(voice.languages),
        "tags": list(voice.tags),
        "description": voice.description,
        "created": made.isoformat(timespec="seconds") if made else None,
    }


def voice_text(data: dict[str, Any]) -> str:
    """One voice for a person, and how to use it."""
    shown = {name: ", ".join(value) if isinstance(value, list) else value for name, value in data.items()}
    lines = [f"{name}: {value}" for name, value in shown.items() if value]
    if data["name"] is None:
        lines.append(f"use it: voices: {{NAME: {{id: {data['id']}}}}}")
    return "\n".join(lines)


def page_text(total: int, voices: Sequence[VoiceInfo], names: Mapping[str, str], *, page: int, size: int) -> str:
    """A page of voices, a line each."""
    if not voices:
        return "no voices" if page == 1 else f"no voices on page {page}"
    lines = []
    for voice in voices:
        about = [voice.state, ",".join(voice.languages), voice.visibility, ",".join(voice.tags)]
        name = f"  = {names[voice.id]}" if voice.id in names else ""
        lines.append(f"{voice.id}  {short(voice.title, 40)}  ({'; '.join(filter(None, about))}){name}")
    more = f"; more: --page {page + 1}" if total > page * size else ""
    return "\n".join([*lines, f"{count(total, 'voice')}{more}"])
