"""fishpipe takes."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from fishpipe.cli.common import Arguments, again, common, err, open_project, options, out, with_manifest
from fishpipe.errors import UsageError
from fishpipe.report.prose import clock, count
from fishpipe.studio import choose, clip_of, measured, reel, spoken
from fishpipe.takes import sharing, takes_of

if TYPE_CHECKING:
    from fishpipe.project import Session
    from fishpipe.studio import Line


@options(click.option("--reel", "to", type=click.Path(path_type=Path), help="Write all of them to this mp3 or wav."))
def takes(arguments: Arguments, *, to: Path | None) -> int:
    r"""List the renderings of a segment's words, choose one, hear them one after the other. Costs nothing.

    \b
      fishpipe takes episode-1/0007                     length, level, cost, when, and the file
      fishpipe takes use episode-1/0007 2               from now on; going back is free
      fishpipe takes episode-1/0007 --reel reel.mp3     each between its neighbours, at one level
    """
    names = arguments.targets
    using = bool(names) and names[0] == "use"
    arguments = with_manifest(replace(arguments, targets=names[1:] if using else names))
    if using:
        return _use(arguments)
    if not arguments.targets:
        raise UsageError("takes needs a segment: an address (episode-1/0007) or a place (fishpipe.yaml:42)")
    project = open_project(arguments)
    with project.session() as session:
        lines = spoken(project, session, arguments.targets)
        if to is not None:
            return _reel(session, lines, to)
        answers = [_describe(session, line) for line in lines]
    from fishpipe.report.takes import takes_text

    shown = json.dumps(answers, ensure_ascii=False, indent=2)
    out(shown if arguments.json else "\n\n".join(map(takes_text, answers)))
    return 0


def _use(arguments: Arguments) -> int:
    if len(arguments.targets) != 2 or not re.fullmatch(r"[0-9]{1,3}", arguments.targets[1]):
        raise UsageError("takes use needs a segment and a number: fishpipe takes use episode-1/0007 2")
    target, number = arguments.targets[0], int(arguments.targets[1])
    project = open_project(arguments)
    with project.hold(), project.session(writing=True) as session:
        lines = spoken(project, session, [target])
        if len(lines) > 1:
            raise UsageError(f"{target} is {count(len(lines), 'segment')}; name one")
        line = lines[0]
        take = choose(project, session, line, number)
    also = "".join(f"; also used by {other}" for other in sharing(line.step, line.address))
    was = line.step.take
    back = again("takes use", arguments.manifest, line.address, str(was), provider=arguments.provider)
    undo = "" if was == number else f" (undo: {back})"
    if arguments.json:
        out(json.dumps({"address": line.address, "take": number, "before": was, "digest": take.digest}))
    elif not arguments.quiet:
        out(f"{line.address}: take {number} is used from now on{also}{undo}")
        err(f"next: {again('build', arguments.manifest, provider=arguments.provider)}")
    return 0


def _reel(session: Session, lines: list[Line], to: Path) -> int:
    if len(lines) > 1:
        raise UsageError("--reel takes one segment")
    made = reel(session, lines[0], to)
    number = sum(1 for take in takes_of(lines[0].step, session.snapshot) if take.digest)
    out(f"{to}  {clock(made.length / made.rate)}  {count(number, 'take')}, each a chapter")
    return 0


def _describe(session: Session, line: Line) -> dict[str, Any]:
    from fishpipe.report.takes import take_data

    found = []
    for take in takes_of(line.step, session.snapshot):
        level, path = measured(session, take), clip_of(session, take.step)
        receipts = session.store.receipts(take.step.fingerprint)
        entry = session.snapshot.lock.clip(take.step.fingerprint)
        found.append(take_data(take, level, os.path.relpath(path) if path else None, receipts, entry))
    place = next(str(use.span) for use in line.step.uses if use.address == line.address)
    return {
        "address": line.address,
        "place": place,
        "text": line.step.text,
        "words": line.step.words,
        "shared_with": list(sharing(line.step, line.address)),
        "takes": found,
    }


takes.is_plain = True  # type: ignore[attr-defined]
takes.metavar = "[use] [MANIFEST] SEGMENT [NUMBER]"  # type: ignore[attr-defined]
command = common(takes)
