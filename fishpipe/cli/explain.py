"""fishpipe explain."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from fishpipe.cli.common import Arguments, common, open_project, options, out
from fishpipe.errors import UsageError
from fishpipe.manifest.model import Asset, Inclusion, Pause, Speech

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.manifest.model import Manifest, Segment


@options(click.option("--text", "texts", is_flag=True, help="What is written, what is sent, and what captions show."))
def explain(arguments: Arguments, texts: bool) -> int:
    r"""Show why a segment would be spoken again: its record, its fingerprint, its history. Writes nothing.

    \b
      fishpipe explain episode-1/0007
      fishpipe explain fishpipe.yaml:42
      fishpipe explain --text episode-1/0007   what becomes of its markup, its cues and the lexicon's words
    """
    from fishpipe.report.explain import explain_data, explain_text, ways

    if not arguments.targets:
        raise UsageError("explain needs a segment: an address (episode-1/0007) or a place (fishpipe.yaml:42)")
    project = open_project(arguments)
    segments = [s for target in arguments.targets for s in _meant(project.manifest, target, texts=texts)]
    if texts:
        return _texts(arguments, segments)
    answers = []
    outputs = project.graph().outputs
    with project.session([segment.address for segment in segments]) as session:
        for segment in (one for one in segments if not isinstance(one.body, Pause) or one.address == one.line):
            step = session.graph.spoken.get(segment.address)
            if step is None:
                raise UsageError(f"{segment.address} ({segment.span}) is not a spoken text; it costs nothing")
            receipts = session.store.receipts(step.fingerprint)
            answer = explain_data(segment.address, step, session.snapshot, session.plan, receipts)
            answers.append(answer | {"ways": ways(segment.address, outputs, step.format)})
    out(
        json.dumps(answers, ensure_ascii=False, indent=2) if arguments.json else "\n\n".join(map(explain_text, answers))
    )
    return 0


def _meant(manifest: Manifest, target: str, *, texts: bool) -> Sequence[Segment]:
    """The segments of a target; for their texts, a script is all of its."""
    from fishpipe.targets import find_segments, scripts_named

    named = scripts_named(manifest, target) if texts else []
    spoken = (
        one for name in named for one in manifest.scripts[name].segments if not isinstance(one.body, Inclusion | Asset)
    )
    return [one for one in spoken if one.line != one.address or isinstance(one.body, Speech)] or find_segments(
        manifest, target
    )


def _texts(arguments: Arguments, segments: Sequence[Segment]) -> int:
    from fishpipe.report.texts import texts_data, texts_text

    silent = next((s for s in segments if s.address == s.line and not isinstance(s.body, Speech)), None)
    if silent is not None:
        raise UsageError(f"{silent.address} ({silent.span}) is not a spoken text")
    lines = texts_data(segments)
    out(json.dumps(lines, ensure_ascii=False, indent=2) if arguments.json else "\n\n".join(map(texts_text, lines)))
    return 0


command = common(explain)
