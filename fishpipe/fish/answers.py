"""Answers of the service → typed values. Unknown fields are ignored; missing ones are errors that quote the answer."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from fishpipe.errors import CallFailed, CallInDoubt
from fishpipe.fish.faults import parse_object, quote
from fishpipe.ports import Answered, Outcome, Running, Submitted, TaskFailed, TaskState, VoiceInfo
from fishpipe.shown import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

# Characters of an id, a trace or a link, and of what is only shown.
_LONGEST: Final = 4096
_LONGEST_WORDS: Final = 500
_MOST_WORDS: Final = 100
# Unix seconds: the end of the year 9999, nearly.
_LATEST: Final = 3e11
_FAILED: Final = {"failed", "failure", "error", "cancelled", "canceled", "rejected"}


def read_speech(response: httpx.Response) -> Submitted | Answered:
    """The answer to /fish/tts or /fish/audios: the audio, or a task."""
    data = _object(response)
    url = _audio_url(data)
    task, trace = read_id(data.get("task_id")), read_id(data.get("trace_id"))
    if url:
        return Answered(url=url, task_id=task, trace_id=trace)
    if task:
        return Submitted(task_id=task, trace_id=trace)
    raise CallInDoubt(f"the answer has neither audio_url nor task_id: {quote(response)}", status=response.status_code)


def read_created_voice(response: httpx.Response) -> Submitted | VoiceInfo:
    """The answer to /fish/voices, or to POST /fish/model: the voice, or a task."""
    data = _object(response)
    made = _made(data)
    if made is not None:
        return made
    task = read_id(data.get("task_id"))
    if task:
        return Submitted(task_id=task, trace_id=read_id(data.get("trace_id")))
    raise CallInDoubt(f"the answer has neither _id nor task_id: {quote(response)}", status=response.status_code)


def _made(data: Mapping[str, Any]) -> VoiceInfo | None:
    """The voice in the answer of a creation: in `data`, or the answer itself."""
    for model in (data.get("data"), data):
        if isinstance(model, dict) and read_id(model.get("_id")):
            return read_voice(model, read_id(data.get("task_id")), read_id(data.get("trace_id")))
    return None


def read_voice(model: Mapping[str, Any], task_id: str | None = None, trace_id: str | None = None) -> VoiceInfo:
    """A model object."""
    return VoiceInfo(
        id=read_id(model.get("_id")) or "",
        state=_shown(model.get("state")) or "trained",
        type=_shown(model.get("type")) or "tts",
        title=_shown(model.get("title")),
        created=_moment(model.get("created_at")),
        description=_shown(model.get("description")),
        tags=_words(model.get("tags")),
        languages=_words(model.get("languages")),
        visibility=_shown(model.get("visibility")),
        task_id=task_id,
        trace_id=trace_id,
    )


def read_task(item: Mapping[str, Any]) -> TaskState:
    """A task: its `response` is what the call would have answered; null while it runs.

    One that has `finished_at` and no response yet may still get it: it is asked again.
    """
    response = item.get("response")
    body = response if isinstance(response, dict) else {}
    trace = read_id(body.get("trace_id")) or read_id(item.get("trace_id"))
    outcome = read_outcome(body, read_id(item.get("id")), trace)
    if outcome is not None:
        return outcome
    words = {str(holder.get(name, "")).lower() for holder in (item, body) for name in ("status", "state")}
    error = item.get("error")
    if error or words & _FAILED:
        message = _message(error) or _message(body.get("message")) or "the task failed"
        return TaskFailed(message=message, trace_id=trace)
    if item.get("finished_at") and response is not None:
        return TaskFailed(message=f"the task finished without a result: {one_line(str(response), 200)}", trace_id=trace)
    return Running()


def read_outcome(body: Mapping[str, Any], task_id: str | None, trace_id: str | None) -> Outcome | None:
    """What a finished call answered (in a task, or in a callback); None where it says nothing."""
    url = _audio_url(body)
    if url:
        return Answered(url=url, task_id=task_id, trace_id=trace_id)
    error = body.get("error")
    if error or body.get("success") is False:
        message = _message(error) or _message(body.get("message")) or "the task failed"
        return TaskFailed(message=message, trace_id=trace_id)
    made = _made(body)
    return None if made is None else replace(made, task_id=made.task_id or task_id, trace_id=made.trace_id or trace_id)


def _object(response: httpx.Response) -> dict[str, Any]:
    data = parse_object(response)
    if data is None:
        raise CallInDoubt(f"the answer is not JSON: {quote(response)}", status=response.status_code)
    if data.get("success") is False or (data.get("error") and not _audio_url(data)):
        code = data["error"].get("code", "") if isinstance(data.get("error"), dict) else ""
        message = _message(data.get("error")) or quote(response)
        raise CallFailed(message, one_line(str(code), 100), response.status_code, read_id(data.get("trace_id")) or "")
    return data


def _audio_url(data: Mapping[str, Any]) -> str | None:
    inner = data.get("data")
    first = inner[0] if isinstance(inner, list) and inner else inner
    links = (holder.get("audio_url") for holder in (data, first) if isinstance(holder, dict))
    return next((link for link in map(read_id, links) if link), None)


def read_id(value: object) -> str | None:
    """An id, a trace or a link: a word of some length that can be printed; None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable() else None


def _shown(value: object) -> str:
    return one_line(value, _LONGEST_WORDS) if isinstance(value, str) else ""


def _message(error: object) -> str:
    if isinstance(error, dict):
        return one_line(": ".join(str(error[name]) for name in ("code", "message") if error.get(name)), _LONGEST_WORDS)
    return one_line(str(error), _LONGEST_WORDS) if error else ""


def _words(value: object) -> tuple[str, ...]:
    return tuple(_shown(item) for item in value[:_MOST_WORDS]) if isinstance(value, list) else ()


def _moment(value: object) -> float | None:
    """A time in Unix seconds, as a number or in ISO 8601; None for what is none."""
    try:
        if isinstance(value, str):
            moment = datetime.datetime.fromisoformat(value)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
        else:
            seconds = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= _LATEST else None
