"""How a run goes: what went wrong is told and counted, and closes the purse where every call would fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fishpipe.errors import (
    AuthError,
    BalanceError,
    CallInDoubt,
    ConfigurationError,
    FishpipeError,
    ServiceError,
    StoreError,
)
from fishpipe.events import CallProblem, RunFinished, Stopping
from fishpipe.runner.cures import charged, cure, place_of
from fishpipe.snapshot import IN_FLIGHT

if TYPE_CHECKING:
    from fishpipe.events import OutputWritten
    from fishpipe.graph.steps import ClipStep, Graph, OutputStep, VoiceStep
    from fishpipe.ports import RunContext
    from fishpipe.runner.spending import Spending
    from fishpipe.snapshot import CallRow

# Of several exit codes the weightiest counts: what the user must see to first.
_WEIGHT: Final = {0: 0, 1: 1, 5: 2, 4: 3}
_STOPS_ALL: Final = (AuthError, BalanceError, ConfigurationError, StoreError)


@dataclass
class Tally:
    """Counts of one run; `code` is the exit code so far, `interrupted` that of a signal."""

    context: RunContext
    spending: Spending
    keep_going: bool
    failed: int = 0
    in_doubt: int = 0
    stored: int = 0
    damaged: int = 0
    code: int = 0
    interrupted: int = 0
    crash: Exception | None = None
    outputs: list[OutputWritten] = field(default_factory=list)

    def close(self, why: str) -> None:
        """Make no new calls from now on."""
        if self.spending.close(why):
            self.context.reporter.tell(Stopping(why=why))

    def problem(self, step: ClipStep | VoiceStep, error: Exception) -> None:
        """A call ended without its result."""
        row = self.context.store.row(step.fingerprint)
        self._tell(
            error,
            CallProblem(
                address=step.address,
                place=str(place_of(error, step)),
                message=str(error),
                hint=cure(error, row),
                in_doubt=isinstance(error, CallInDoubt),
                charged=charged(error, row),
                trace_id=error.trace_id if isinstance(error, ServiceError) else "",
            ),
        )

    def trouble(self, address: str, place: str, error: Exception) -> None:
        """Something that is no call of its own went wrong."""
        self._tell(error, CallProblem(address=address, place=place, message=str(error), hint=cure(error, None)))

    def _tell(self, error: Exception, problem: CallProblem) -> None:
        if not isinstance(error, FishpipeError):
            self.crash = self.crash or error
        if problem.in_doubt:
            self.in_doubt += 1
        else:
            self.failed += 1
        self.code = max(self.code, error.exit_code if isinstance(error, ServiceError) else 1, key=_WEIGHT.__getitem__)
        self.context.reporter.tell(problem)
        if isinstance(error, _STOPS_ALL) or not isinstance(error, FishpipeError):
            self.close(f"no new calls: {error}")
        elif not self.keep_going:
            self.close("no new calls after a failure (go on regardless: --keep-going)")

    def held(self, step: ClipStep | VoiceStep, row: CallRow) -> None:
        """A call waits for a decision."""
        self.in_doubt += 1
        self.code = max(self.code, 1)
        message = row.error or "the last run ended before its answer was read"
        hint = "pay for it again: --in-doubt retry"
        place = str(step.span)
        self.context.reporter.tell(
            CallProblem(
                address=step.address,
                place=place,
                message=message,
                hint=hint,
                in_doubt=True,
                charged="yes" if row.charged == "yes" else "unknown",
            )
        )

    def unmade(self, step: OutputStep, message: str, *, failed: bool) -> None:
        """An output was not made."""
        self.failed += failed
        self.code = max(self.code, 1)
        output = step.output
        self.context.reporter.tell(CallProblem(address=output.shown, place=str(output.span), message=message))

    def summary(self, graph: Graph, *, free: bool) -> RunFinished:
        """How it went, as far as it went; after a second signal, calls without an answer are in doubt."""
        rows = [row for key in (*graph.clips, *graph.voices) if (row := self.context.store.row(key))]
        collectable = sum(1 for row in rows if row.state in IN_FLIGHT)
        if self.interrupted:
            self.in_doubt = sum(1 for row in rows if row.state == "intended")
        spending = self.spending
        return RunFinished(
            exit_code=self.interrupted or self.code,
            calls=spending.calls,
            bytes=spending.bytes,
            usd=spending.usd,
            unpriced=spending.unpriced,
            stored=self.stored,
            in_doubt=self.in_doubt,
            failed=self.failed,
            outputs=tuple(self.outputs),
            free=free,
            collectable=collectable,
            damaged=self.damaged,
        )
