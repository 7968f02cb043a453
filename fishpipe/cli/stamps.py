"""A build that found nothing to do leaves a stamp: what it said is what the next one says."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from fishpipe.cli.common import Arguments, read_dotenv, told_of, warnings_of
from fishpipe.events import RunFinished
from fishpipe.machine import SystemClock
from fishpipe.report.events import JsonReporter
from fishpipe.report.plans import plan_data, plan_text
from fishpipe.stamping import FINE, keep_stamp, look_around

if TYPE_CHECKING:
    from fishpipe.plan import Plan
    from fishpipe.project import Project
    from fishpipe.stamping import Marks


class Stamper:
    """Made before anything is read; `after_writing` waits until another write would show in a file's times."""

    def __init__(self, arguments: Arguments, *, after_writing: bool = False) -> None:
        context = click.get_current_context(silent=True)
        self._request = context.find_root().obj if context else None
        self._arguments = arguments
        self._before: Marks = {}
        if after_writing and self._request is not None:
            time.sleep(FINE / 1e9)
        self._began = SystemClock().now_ns()

    @property
    def is_asked(self) -> bool:
        """Whether a stamp could answer for this command."""
        return self._request is not None

    def look(self, project: Project) -> None:
        """Mark what a plan comes from, before it is made."""
        if self._request is not None:
            self._before = look_around(project)

    def keep(self, project: Project, plan: Plan) -> None:
        """Write the stamp of a plan that is empty."""
        settings = project.manifest.root / ".env"
        if self._request is None or told_of(settings, read_dotenv(settings)):
            return
        events: list[str] = []
        JsonReporter(events.append).tell(RunFinished(exit_code=0))
        answers = {
            "words": plan_text(plan),
            "build": events[0],
            "plan": json.dumps(plan_data(plan), ensure_ascii=False, indent=2),
        }
        said = {name: f"{text}\n" for name, text in answers.items()}
        spoken = replace(self._arguments, quiet=False)
        said["warnings"] = "".join(f"{line}\n" for line in warnings_of(spoken, project))
        keep_stamp(project, self._request, self._before, self._began, said)
