"""fishpipe status."""

from __future__ import annotations

import json

from fishpipe.cli.common import Arguments, common, open_project, out


def status(arguments: Arguments) -> int:
    r"""Show what is built, stale, in doubt, failed; what was spent. Writes nothing.

    \b
      fishpipe status
      fishpipe status --json      with each segment's start and end, to the sample
    """
    from fishpipe.report.status import status_data, status_text

    project = open_project(arguments)
    with project.session(arguments.targets) as session:
        spent = session.store.spent(session.graph.realm)
        data = status_data(session.graph, session.snapshot, session.plan, spent)
    out(json.dumps(data, ensure_ascii=False, indent=2) if arguments.json else status_text(data))
    return 0


command = common(status)
