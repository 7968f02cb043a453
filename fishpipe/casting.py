"""The voices of a project: looked up again, named, forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fishpipe.errors import CallRefused
from fishpipe.runner.voices import gone, unfit
from fishpipe.store.lockfile import write_lock

if TYPE_CHECKING:
    from fishpipe.project import Project, Session


def refresh_voices(project: Project, session: Session) -> list[CallRefused]:
    """Look all voices of a session up, also those that are known; what is wrong with them, and for whom.

    The session must be for writing. Raises ServiceError where the service cannot be asked.
    """
    graph, store = session.graph, session.store
    rows = [(step.name, row.voice_id, key) for key, step in graph.voices.items() if (row := store.row(key))]
    wanted = [(name, voice_id, str(key)) for name, voice_id, key in rows if voice_id]
    used = {speaker.id for clip in graph.clips.values() for speaker in clip.speakers}
    wanted += [(voice.name, voice_id, voice_id) for voice_id, voice in graph.existing.items() if voice_id in used]
    missing = []
    with project.catalog() as catalog:
        for name, voice_id, key in wanted:
            users = [use.address for clip in graph.clips.values() if clip.speaks_with(key) for use in clip.uses]
            try:
                info = catalog.voice(voice_id)
            except CallRefused as error:
                store.unchecked(voice_id)
                missing.append(gone(name, voice_id, users, error))
                continue
            if voice_id not in graph.existing:
                continue
            if (wrong := unfit(name, info, users)) is not None:
                store.unchecked(voice_id)
                missing.append(wrong)
            else:
                store.checked(info, graph.existing[voice_id].consent)
    return missing


def voice_names(project: Project) -> dict[str, str]:
    """The manifest's names of the voices that have an id, by id."""
    with project.session() as session:
        calls, graph = session.snapshot.calls, session.graph
        rows = [(name, calls.get(key)) for name, key in graph.created.items()]
    created = {row.voice_id: name for name, row in rows if row is not None and row.voice_id}
    return created | {voice_id: voice.name for voice_id, voice in graph.existing.items()}


def forget_voice(project: Project, name: str) -> str:
    """Forget what became of a declared voice; what was forgotten, "" where nothing was known."""
    with project.hold(), project.session(writing=True) as session:
        ledger = session.store.ledger
        key = session.graph.created.get(name)
        if key is not None:
            lock, row = session.snapshot.lock, ledger.row(key)
            if ("voice", key) in lock.entries:
                write_lock(project.lock_path, lock.keeping(lock.entries.keys() - {("voice", key)}))
            return f"{row.voice_id or row.state} forgotten" if row and ledger.forget(key) else ""
        for voice_id, voice in session.graph.existing.items():
            if voice.name == name and voice_id in session.snapshot.checked:
                ledger.unchecked(voice_id)
                return f"{voice_id} is looked up again"
    return ""
