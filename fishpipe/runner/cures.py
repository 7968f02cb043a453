"""What to do about an error, where in the manifest it lies, and whether money went with it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fishpipe.errors import (
    AudioError,
    AuthError,
    BalanceError,
    CallFailed,
    CallInDoubt,
    CallRefused,
    ConfigurationError,
    LinkExpired,
    LockedMissing,
    StoreError,
    TransientError,
)

if TYPE_CHECKING:
    from fishpipe.errors import Span
    from fishpipe.graph.steps import ClipStep, VoiceStep
    from fishpipe.snapshot import CallRow, Charged

_CURES: Final[dict[type[Exception], str]] = {
    AuthError: "check ACEDATACLOUD_API_TOKEN",
    BalanceError: "add to your balance, then build again: nothing is lost",
    ConfigurationError: "see the application at the platform, and the base URL; then build again: nothing is lost",
    CallInDoubt: "pay for it again: --in-doubt retry; leave it: --in-doubt skip",
    CallFailed: "pay for it again: --in-doubt retry; or change it",
    LinkExpired: "build again: what is paid for is fetched again, not paid again",
    AudioError: "build again: what is paid for is fetched again, not paid again",
    TransientError: "build again in a while",
    LockedMissing: "have it from a store: fishpipe store pull; pay for it again: --replace-locked",
    CallRefused: "correct it in the manifest, and build again",
    StoreError: "make room or give access, and build again: nothing is lost",
}
# Names of settings that an error without fields may speak of, and that are no common words.
_WORDS: Final = re.compile(r"\b(?:[a-z]+_[a-z0-9_]+|format|prosody|latency|normalize|temperature)\b")
# Fields of requests that have another name in the manifest.
_NAMES: Final = {"voice_url": "sample_url", "voices": "sample_url"}


def cure(error: Exception, row: CallRow | None) -> str:
    """What to do next; "" where the error says so itself."""
    if isinstance(error, TransientError) and row is not None and row.charged == "yes":
        return "build again: it is paid for, and is collected"
    if isinstance(error, CallRefused) and row is not None and row.state == "lost":
        return "pay for it again: --in-doubt retry"
    return next((words for kind, words in _CURES.items() if isinstance(error, kind)), "")


def place_of(error: Exception, step: ClipStep | VoiceStep) -> Span:
    """The place of the setting that an error means, or of the step."""
    if not isinstance(error, CallRefused):
        return step.span
    for name in error.fields or _WORDS.findall(error.message):
        if name == "text":
            break
        known = step.places.get(_NAMES.get(name, name))
        if known is not None:
            return known
    return step.span


def charged(error: Exception, row: CallRow | None) -> Charged:
    """Whether money went with a call that ended so."""
    if isinstance(error, CallInDoubt):
        return "unknown"
    return row.charged if row is not None else "no"
