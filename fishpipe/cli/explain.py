"""fishpipe explain."""

from __future__ import annotations

import json

from fishpipe.cli.common import Arguments, common, open_project, out
from fishpipe.errors import UsageError


def explain(arguments: Arguments) -> int:
    r"""Show why a segment would be spoken again: its record, its fingerprint, its history. Writes nothing.

    \b
      fishpipe explain episode-1/0007
      fishpipe explain fishpipe.yaml:42
    """
    from fishpipe.report.explain import explain_data, explain_text, ways
    from fishpipe.targets import find_segment

    if not arguments.targets:
        raise UsageError("explain needs a segment: an address (episode-1/0007) or a place (fishpipe.yaml:42)")
    project = open_project(arguments)
    segments = [find_segment(project.manifest, target) for target in arguments.targets]
    answers = []
    outputs = project.graph().outputs
    with project.session([segment.address for segment in segments]) as session:
        for segment in segments:
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


command = common(explain)
