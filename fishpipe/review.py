"""What a project's changes are, and what they cost, since a revision of it in git."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from fishpipe.compare import Change, State, compare, state_of
from fishpipe.errors import AudioError, ManifestError, Problem, UsageError
from fishpipe.graph.build import build_graph
from fishpipe.graph.fingerprints import Digest
from fishpipe.lock import Lock
from fishpipe.locking import known, voices_of
from fishpipe.manifest.load import load
from fishpipe.plan import PlanOptions, make_plan
from fishpipe.revisions import checked_out
from fishpipe.snapshot import CallRow, Calls
from fishpipe.store.lockfile import read_lock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fishpipe.graph.fingerprints import Fingerprint
    from fishpipe.graph.steps import Graph
    from fishpipe.manifest.model import Manifest
    from fishpipe.plan import Plan
    from fishpipe.project import Project, Session
    from fishpipe.revisions import Revision
    from fishpipe.snapshot import Snapshot

# Bytes of text that are spoken in a second, about: for lines that nobody has heard yet.
_BYTES_A_SECOND = 14.0


class World(Struct, frozen=True, kw_only=True):
    """A project at a revision: its manifest, graph (of all scripts) and lock; `moved_from` is where it lay then."""

    commit: str
    moved_from: str
    manifest: Manifest
    graph: Graph
    lock: Lock


class Comparison(Struct, frozen=True, kw_only=True):
    """Two states of a project, what changed between them, and the plan of a build as things stand."""

    rev: str
    world: World
    before: State
    after: State
    changes: tuple[Change, ...]
    plan: Plan


def world_at(project: Project, rev: str, memory: Snapshot) -> World:
    """The project as it was. Raises UsageError, or ManifestError with places such as ``HEAD~1:fishpipe.yaml:3``."""
    with checked_out(project.manifest.path, rev, whole=project.choices.allow_outside) as found:
        try:
            manifest = _load(found.manifest, project)
            lock = read_lock(found.manifest.with_suffix(".lock"), f"{rev}:{found.name}")
        except ManifestError as error:
            raise _placed(error, found, rev) from error
        remembered = known(memory.calls, lock, project.realm)
        graph = build_graph(manifest, project.realm, list(manifest.scripts), remembered)
    moved_from = found.name if found.moved else ""
    return World(commit=found.commit, moved_from=moved_from, manifest=manifest, graph=graph, lock=lock)


def comparison(project: Project, session: Session, rev: str) -> Comparison:
    """What changed since a revision; `session` is one of all the project's scripts."""
    snapshot = session.snapshot
    world = world_at(project, rev, snapshot)
    everything = build_graph(
        project.manifest,
        project.realm,
        list(project.manifest.scripts),
        known(snapshot.calls, snapshot.lock, project.realm),
    )
    assets = _asset_seconds(project.manifest)
    sounds = session.store.cuts()
    before = state_of(world.manifest, world.graph, _lengths(world.graph, snapshot, world.lock, sounds), assets)
    after = state_of(project.manifest, everything, _lengths(everything, snapshot, snapshot.lock, sounds), assets)
    return Comparison(
        rev=rev,
        world=world,
        before=before,
        after=after,
        changes=tuple(compare(before, after)),
        plan=session.plan,
    )


def since(project: Project, session: Session, rev: str) -> tuple[Plan, Plan]:
    """What the changes since a revision cost, as if all had been built there: all of it, and what is still to pay."""
    snapshot = session.snapshot
    world = world_at(project, rev, snapshot)
    built = {
        key: CallRow(fingerprint=key, kind="clip", state="stored", record=step.record)
        for key, step in world.graph.clips.items()
    }
    voices = {
        key: CallRow(fingerprint=key, kind="voice", state="trained", record=step.record)
        for key, step in world.graph.voices.items()
    }
    then = replace(
        snapshot,
        calls=Calls(known={**built, **voices, **voices_of(world.lock)}),
        clips={**dict.fromkeys(built, Digest("")), **world.lock.clips},
        lines=world.graph.lines,
        lock=Lock(),
        others={},
        pointers=frozenset(),
    )
    plan = replace(make_plan(session.graph, then, project.prices, PlanOptions()), stitches=(), fresh=())
    paid = {*snapshot.clips, *snapshot.lock.clips}
    made = {key for key, row in snapshot.calls.items() if row.voice_id}
    left = replace(
        plan,
        clips=tuple(speak for speak in plan.clips if speak.step.fingerprint not in paid),
        voices=tuple(create for create in plan.voices if create.step.fingerprint not in made),
    )
    return plan, left


def _load(path: Path, project: Project) -> Manifest:
    """The manifest of a revision, with those of our variables that it knows."""
    variables = dict(project.choices.variables)
    while True:
        try:
            return load(path, variables=variables, allow_outside=True)
        except UsageError as error:
            unknown = re.match(r"--var (\w+):", str(error))
            if unknown is None or variables.pop(unknown[1], None) is None:
                raise


def _placed(error: ManifestError, found: Revision, rev: str) -> ManifestError:
    """The same problems, at places of the revision."""

    def there(file: str) -> str:
        inside = os.path.relpath(os.path.realpath(file), found.folder)
        return f"{rev}:{inside}" if not inside.startswith("..") else file

    problems = [Problem(replace(p.span, file=there(p.span.file)), p.message, p.hint) for p in error.problems]
    return ManifestError(problems, {there(file): text for file, text in error.sources.items()})


def _lengths(graph: Graph, snapshot: Snapshot, lock: Lock, cuts: Mapping[str, float]) -> Mapping[Fingerprint, float]:
    """How long each clip lasts: as it was cut, as it is noted, else about."""
    found = {}
    for key, step in graph.clips.items():
        digest = lock.clips.get(key) or snapshot.clips.get(key)
        row = snapshot.calls.get(key)
        noted = lock.clip(key).get("seconds") or (row.seconds if row is not None else None)
        noted = cuts.get(digest or "") or noted or snapshot.lock.clip(key).get("seconds")
        found[key] = float(noted or step.bytes / _BYTES_A_SECOND)
    return found


def _asset_seconds(manifest: Manifest) -> dict[str, float]:
    from fishpipe.audio.decode import duration

    found = {}
    for script in manifest.scripts.values():
        for asset, _ in script.assets:
            with suppress(AudioError):
                found[asset.shown] = duration(asset.path)
    return found
