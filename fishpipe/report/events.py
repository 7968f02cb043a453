"""Events → lines, JSON lines, or a progress bar; all but results go to stderr."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from fishpipe.events import (
    CallClaimed,
    CallProblem,
    CallRetried,
    CallSubmitted,
    ClipDamaged,
    ClipStored,
    DoubtRetried,
    Event,
    OutputStarted,
    OutputWritten,
    RunFinished,
    RunStarted,
    Stopping,
    VoiceReady,
)
from fishpipe.report.plans import plan_data
from fishpipe.report.prose import clock, cost_words, count, money
from fishpipe.shown import as_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console
    from rich.progress import TaskID


class JsonReporter:
    """One JSON object a line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def tell(self, event: Event) -> None:
        """Write the event."""
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        data: dict[str, Any] = {"event": kind}
        for field, value in asdict(event).items():
            data[field] = plan_data(value) if field == "plan" else _plain(value)
        self._write(json.dumps(data, ensure_ascii=False))

    def close(self) -> None:
        """Nothing to put away."""


def _plain(value: object) -> object:
    if isinstance(value, BaseException):
        return str(value)
    if isinstance(value, Struct):
        return {field: _plain(inner) for field, inner in asdict(value).items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


class LineReporter:
    """A line for what a log should keep; `quiet` keeps what went wrong."""

    def __init__(self, write: Callable[[str], None], *, quiet: bool = False) -> None:
        self._write, self._quiet = write, quiet
        self._total = self._done = 0

    def tell(self, event: Event) -> None:
        """Write the event, if it is for a log."""
        if isinstance(event, RunStarted):
            self._total = len(event.plan.clips) + len(event.plan.collect)
        if isinstance(event, ClipStored):
            self._done += 1
            self._total = max(self._total, self._done)
        line = as_name(_line(event, self._done, self._total))
        serious = isinstance(event, CallProblem | ClipDamaged | DoubtRetried | Stopping)
        if line and (serious or not self._quiet):
            self._write(line)

    def close(self) -> None:
        """Nothing to put away."""


_CHARGED: Final = {None: "", "no": "; not charged", "yes": "; it is paid for", "unknown": "; it may have been charged"}


def _line(event: Event, done: int, total: int) -> str:
    match event:
        case RunStarted(plan=plan, free=free) if plan.paid:
            return f"{cost_words(len(plan.paid), plan.cost)}{' (sandbox: free)' if free else ' (an estimate)'}"
        case VoiceReady(name=voice, voice_id=voice_id, paid=paid, adopted=adopted):
            how = "created" if paid else "found at the service: not paid again" if adopted else "ready"
            return f"voice {voice}: {how} ({voice_id})"
        case ClipStored(address=address, seconds=seconds):
            return f"[{done}/{total}] {address} {seconds:.1f} s"
        case CallRetried(address=address, error=error, delay=delay):
            return f"{address}: {error}; not charged; again in {delay:.1f} s"
        case DoubtRetried(address=address, error=error, usd=usd, trace_id=trace):
            why = (error or "no answer was read") + (f", trace {trace}" if trace and trace not in error else "")
            return f"{address}: in doubt ({why}): it may have been charged; paying again, once ({money(usd)})"
        case CallProblem(address=address, place=place, message=message, hint=hint, charged=charged):
            return f"{place}: {address}: {message}{_CHARGED[charged]}{hint and '. ' + hint}"
        case Stopping(why=words) | ClipDamaged(message=words) | CallClaimed(message=words):
            return words
        case OutputWritten(path=path, seconds=seconds, segments=segments) if not event.pattern:
            return f"{path}: {clock(seconds)}, {count(segments, 'line')}{_sounding(event, ', ')}"
        case _:
            return ""


def _sounding(output: OutputWritten, before: str) -> str:
    """How loud an output is, where it was to be so."""
    sound = output.sounding
    if sound is None:
        return ""
    level = f"{sound.lufs:.1f} LUFS, LRA {sound.lra:.1f} LU"
    if sound.measure == "rms":
        level = f"{sound.rms:.1f} dB RMS, noise floor {sound.floor:.0f} dB"
    return f"{before}{level}, true peak {sound.true_peak:.1f} dB"


class ProgressReporter:
    """A progress bar on a terminal: calls, bytes, cost, time left; lines above it for what went wrong."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._clips = self._progress.add_task("speaking", total=None, detail="", visible=False)
        self._bytes, self._usd = 0, 0.0
        self._stitching: dict[str, TaskID] = {}

    def close(self) -> None:
        """Take the bar away and show the cursor again."""
        self._progress.stop()

    def tell(self, event: Event) -> None:
        """Move the bar."""
        match event:
            case RunStarted(plan=plan):
                total = len(plan.paid) + len(plan.collect)
                if total:
                    self._progress.update(self._clips, total=total, visible=True)
                if header := _line(event, 0, 0):
                    self._progress.console.print(as_name(header), highlight=False, markup=False, soft_wrap=True)
                self._progress.start()
            case CallSubmitted(bytes=size, usd=usd):
                self._bytes += size
                self._usd += usd or 0.0
                detail = f"{self._bytes:,} bytes {money(self._usd)}"
                self._progress.update(self._clips, detail=detail)
            case ClipStored():
                self._progress.advance(self._clips)
            case OutputStarted(path=path):
                from rich.markup import escape

                self._progress.update(self._clips, visible=False)
                self._stitching[path] = self._progress.add_task(
                    f"stitching {escape(as_name(path))}", total=None, detail=""
                )
            case OutputWritten(path=path) if path in self._stitching:
                self._progress.remove_task(self._stitching.pop(path))
            case (
                CallProblem()
                | DoubtRetried()
                | Stopping()
                | CallRetried()
                | CallClaimed()
                | ClipDamaged()
                | VoiceReady()
            ):
                if isinstance(event, VoiceReady):
                    self._progress.advance(self._clips)
                self._progress.console.print(as_name(_line(event, 0, 0)), highlight=False, markup=False, soft_wrap=True)
            case _:
                pass


def summary_text(done: RunFinished, again: str = "fishpipe build") -> str:
    """The end of a build, and the next step; `again` is the command that goes on."""
    lines = []
    for output in (output for output in done.outputs if not output.pattern):
        lines.append(
            f"{output.path}  {clock(output.seconds)}  {count(output.segments, 'line')}{_sounding(output, '  ')}"
        )
        lines += [f"{output.path}: {miss}" for miss in (output.sounding.missed if output.sounding else ())]
    patterns = Counter(output.pattern for output in done.outputs if output.pattern)
    lines += [f"{pattern}  {count(number, 'file')}" for pattern, number in patterns.items()]
    usd = f"{money(done.usd, done.unpriced)}{', sandbox: nothing was really paid' if done.free and done.calls else ''}"
    lines.append(f"{count(done.calls, 'call')}, {done.bytes:,} bytes, {usd}. {count(done.stored, 'clip')} stored.")
    if done.exit_code in (130, 143):
        running = f"; {count(done.collectable, 'paid call')} still to collect" if done.collectable else ""
        doubt = f"; {count(done.in_doubt, 'call')} in doubt: the answer was not awaited" if done.in_doubt else ""
        lines.append(f"Stopped{running}{doubt}. What was answered is kept. Continue: {again}")
    elif done.failed or done.in_doubt:
        doubt = f", {done.in_doubt} in doubt" if done.in_doubt else ""
        pay = "; to pay for those again: --in-doubt retry" if done.in_doubt else ""
        lines.append(f"{done.failed} failed{doubt}. What was paid for is kept. Again: {again}{pay}")
    return "\n".join(lines)
