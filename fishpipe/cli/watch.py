"""fishpipe watch."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from msgspec import Struct

from fishpipe.cli.build import build
from fishpipe.cli.common import Arguments, Usd, common, err, open_project, options, out, tell_error
from fishpipe.errors import FishpipeError, UsageError
from fishpipe.machine import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fishpipe.manifest.model import Manifest
    from fishpipe.plan import Plan
    from fishpipe.project import Project

# Saves that come within so many milliseconds of each other are one; after the longer time it is built regardless.
_STEP: Final = 100
_DEBOUNCE: Final = 1500
# How often it looks whether it is to end, in milliseconds.
_LOOK: Final = 200
# Folders that hold no inputs, and what editors write beside a file while they save it.
_ASIDE: Final = frozenset({".fishpipe", ".git", ".venv", "__pycache__", "node_modules"})
_KINDS: Final = frozenset((".yaml", ".yml", ".md", ".markdown", ".txt", ".mp3", ".wav", ".flac", ".opus", ".m4a"))
_PASSING: Final = ("~", ".swp", ".swx", ".part", ".tmp", ".crdownload", "4913")


@options(
    click.option("-n", "--dry-run", is_flag=True, help="Only show the plan after each save."),
    click.option("-j", "--jobs", type=click.IntRange(1, 100), envvar="FISHPIPE_JOBS", help="Calls in flight at once."),
    click.option("-k", "--keep-going", is_flag=True, help="After a failure, finish what does not depend on it."),
    click.option("--budget", type=Usd(min=0), envvar="FISHPIPE_BUDGET", help="USD that each build may spend."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask."),
)  # fmt: skip
def watch(
    arguments: Arguments, dry_run: bool, jobs: int | None, keep_going: bool, budget: float | None, yes: bool
) -> int:
    r"""Build again whenever a file of the project is saved; shows the plan before and after. Ctrl-C ends it.

    \b
      fishpipe watch                          build on each save
      fishpipe watch episode-1 -n             only show what the next build would cost
      fishpipe watch --provider sandbox       hear drafts while you write, for free
    """

    def cycle() -> Inputs:
        """Plan, build, and plan again; returns what all of it came from."""
        project = open_project(arguments, budget=budget)
        if not _planned(project, arguments).is_empty and not dry_run:
            code = build(
                arguments, dry_run=False, jobs=jobs, keep_going=keep_going, force=False, collect=False, budget=budget,
                in_doubt="ask", frozen=False, locked=False, offline=False, replace_locked=False, deadline=None,
                refresh=False, yes=yes, wait=True,
            )  # fmt: skip
            if code in (130, 143):
                raise KeyboardInterrupt
            _planned(project, arguments)
        return _inputs(project.manifest)

    root = arguments.manifest.parent.absolute()
    if not arguments.manifest.is_file():
        raise UsageError(f"{arguments.manifest} is no file")
    try:
        _follow(root, cycle)
    except KeyboardInterrupt:
        err("no longer watching")
    return 130


def _follow(root: Path, cycle: Callable[[], Inputs]) -> None:
    """A cycle now, and one whenever an input was saved; it looks from before the first on."""
    inputs = None
    folders, is_new = {root}, True
    while True:
        for found in _saves(folders):
            saved = sorted({path for path in found if is_input(path, root, inputs)})
            if saved:
                err(f"{_now()} {_names(saved, root)}")
            if saved or is_new:
                inputs = _told(cycle)
            if is_new:
                err(f"watching {os.path.relpath(root)} (Ctrl-C ends it)")
            is_new = False
            wanted = {root, *(inputs.outside(root) if inputs is not None else folders)}
            if wanted != folders:
                folders = wanted
                break


def _saves(folders: set[Path]) -> Iterator[set[Path]]:
    """The files that were saved in some folders; now and then none, so that a signal is heard."""
    from watchfiles import watch as changes

    looks = changes(
        *folders, step=_STEP, debounce=_DEBOUNCE, watch_filter=None, rust_timeout=_LOOK, yield_on_timeout=True,
        raise_interrupt=True,
    )  # fmt: skip
    for found in looks:
        yield {Path(name) for _, name in found}


class Inputs(Struct, frozen=True):
    """What a manifest was read from: files, and folders all of whose files of a kind are read."""

    files: frozenset[Path]
    folders: frozenset[Path]

    def outside(self, root: Path) -> set[Path]:
        """The folders beside the project (`--allow-outside`) that some of it lies in."""
        return {folder for path in self.files if not (folder := path.parent).is_relative_to(root) and folder.is_dir()}


def is_input(path: Path, root: Path, inputs: Inputs | None) -> bool:
    """Whether a file that was saved may be one that the outputs come from; while `inputs` are unknown, most may."""
    inner = path.relative_to(root) if path.is_relative_to(root) else path
    if _ASIDE.intersection(inner.parts) or path.name.endswith(_PASSING):
        return False
    if inputs is not None:
        return path in inputs.files or path.parent in inputs.folders
    return path.name == ".env" or path.suffix.lower() in _KINDS


def _inputs(manifest: Manifest) -> Inputs:
    read = manifest.looked_at
    assets = {asset.path.absolute() for script in manifest.scripts.values() for asset, _ in script.assets}
    own = {manifest.root / ".env", *assets, *(Path(path) for kind, path, _ in read if kind == "file")}
    folders = {Path(path) for kind, path, _ in read if kind == "names"}
    # The system may tell of a file by the name that its links lead to.
    return Inputs(
        frozenset({*own, *(path.resolve() for path in own)}),
        frozenset({*folders, *(path.resolve() for path in folders)}),
    )


def _told(cycle: Callable[[], Inputs]) -> Inputs | None:
    """One cycle; what goes wrong in it is said, and the watch goes on."""
    try:
        return cycle()
    except FishpipeError as error:
        tell_error(error)
        return None


def _planned(project: Project, arguments: Arguments) -> Plan:
    """The plan as it is now, shown."""
    from fishpipe.report.plans import plan_data, plan_text

    with project.session(arguments.targets) as session:
        plan = session.plan
    if arguments.json:
        out(json.dumps({"event": "planned", "plan": plan_data(plan)}, ensure_ascii=False))
    elif not arguments.quiet:
        out(plan_text(plan, whole=arguments.verbose, free=project.provider == "sandbox"))
    return plan


def _names(saved: list[Path], root: Path) -> str:
    first = os.path.relpath(saved[0], root)
    return first if len(saved) == 1 else f"{first} and {len(saved) - 1} more"


def _now() -> str:
    return time.strftime("%H:%M:%S", time.localtime(SystemClock().now()))


command = common(watch)
