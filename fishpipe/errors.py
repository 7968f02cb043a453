"""Everything that can go wrong and be said, and where.

FishpipeError
├── ManifestError (problems: all of them, each with a Span)       exit 3
├── UsageError                                                   exit 2
├── PlanRefused: BudgetError, Declined; LockedMissing            exit 5
├── ServiceError: AuthError, BalanceError, ConfigurationError    exit 4
│                 CallFailed, CallRefused, CallInDoubt, LinkExpired           exit 1
│                 TransientError (TaskUnknown)                 exit 1
├── ProjectBusy                                                  exit 6
├── StoreError, AudioError (DamagedClip, ImplausibleAudio)       exit 1
├── Interrupted                                                  exit 130, 143
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Struct

from fishpipe.shown import as_name, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Span(Struct, frozen=True, order=True, gc=False, array_like=True):
    """A place in a file: `line` and `column` count from 1, in characters; `length` of the blamed text."""

    file: str
    line: int = 1
    column: int = 1
    length: int = 1

    def __str__(self) -> str:
        return f"{as_name(self.file)}:{self.line}:{self.column}"


class Problem(Struct, frozen=True, order=True, gc=False):
    """One thing wrong with the input: where, what (expected and found included), and the cure.

    `code` names what can be ignored.
    """

    span: Span
    message: str
    hint: str = ""
    code: str = ""

    def __str__(self) -> str:
        return f"{self.span}: {self.said}"

    @property
    def said(self) -> str:
        """What is wrong, and the cure, on one line, without the place."""
        return one_line(f"{self.message}{self.hint and '; ' + self.hint}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion such as ``did you mean "speed"?``, or "" where nothing known is near."""
    from difflib import get_close_matches

    names = {each.casefold(): each for each in known}
    near = get_close_matches(word.casefold(), names, n=1, cutoff=0.6)
    return f'did you mean "{names[near[0]]}"?' if near and names[near[0]] != word else ""


class FishpipeError(Exception):
    """The root of all errors that a user is meant to read."""

    exit_code = 1


class UsageError(FishpipeError):
    """The command line asked for something that does not exist."""

    exit_code = 2


class ManifestError(FishpipeError):
    """The manifest has problems: all of them, in the order of the file."""

    exit_code = 3

    def __init__(self, problems: Sequence[Problem], sources: Mapping[str, str] | None = None) -> None:
        self.problems = tuple(sorted(set(problems)))
        self.sources = dict(sources or {})
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PlanRefused(FishpipeError):
    """The plan is sound but the user's rules forbid it; nothing was paid."""

    exit_code = 5


class BudgetError(PlanRefused):
    """The plan costs more than the budget allows."""


class Declined(PlanRefused):
    """A person was asked, and said no."""


class ProjectBusy(FishpipeError):
    """Another run holds the project."""

    exit_code = 6


class Interrupted(FishpipeError):
    """A signal came: what was in the making is given up."""

    def __init__(self, code: int) -> None:
        super().__init__("stopped")
        self.exit_code = code


class StoreError(FishpipeError):
    """The disk refused, or what it holds is damaged."""


class AudioError(FishpipeError):
    """Bytes that should be audio are not, or not the audio that was asked for."""


class DamagedClip(AudioError):
    """A clip's file holds other bytes than its name says; it is put aside. `key` is the call's fingerprint."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class ImplausibleAudio(AudioError):
    """Audio of `seconds` that is far too short or too long for its text: a download that may be cut."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(eq=False)
class ServiceError(FishpipeError):
    """The service answered with an error, in its own words. `fields` are those of the request that it names."""

    message: str
    code: str = ""
    status: int | None = None
    trace_id: str = ""
    retry_after: float | None = None
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = " ".join(filter(None, [str(self.status or ""), self.code]))
        trace = f" (trace {self.trace_id})" if self.trace_id else ""
        return f"{where}: {self.message}{trace}" if where else f"{self.message}{trace}"


class AuthError(ServiceError):
    """The token is missing, wrong, expired or not for this API: no call can succeed."""

    exit_code = 4


class BalanceError(ServiceError):
    """The balance is used up."""

    exit_code = 4


class ConfigurationError(ServiceError):
    """The application or the base URL is not set up for this API."""

    exit_code = 4


class CallFailed(ServiceError):
    """The service took the call and reports that it failed; it may have been charged."""


class CallRefused(ServiceError):
    """The service refused the call as it is (a parameter is wrong); it was not charged."""


class TransientError(ServiceError):
    """Not charged, and likely to pass: rate limit, the platform's own 5xx, no connection."""


class TaskUnknown(TransientError):
    """The service does not know a task that it gave us: it may show up, or be long gone."""


class CallInDoubt(ServiceError):
    """The request left and no answer was read: it may have been charged."""


class LockedMissing(ServiceError):
    """A clip that the lock names is not here, and its task does not give it: it is not paid for again by itself."""

    exit_code = 5


class LinkExpired(ServiceError):
    """The link to the audio is dead; the task may give another."""
