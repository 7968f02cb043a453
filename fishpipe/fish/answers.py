"""Answers of the service → typed values. Unknown fields are ignored; missing ones are errors that quote the answer."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from fishpipe.errors import CallFailed, CallInDoubt
from fishpipe.fish.faults import one_line, parse_object, quote
from fishpipe.ports import Answered, Outcome, Running, Submitted, TaskFailed, TaskState, VoiceInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

_FAILED: Final = {"failed", "failure", "error", "cancelled", "canceled", "rejected"}


def read_speech(response: httpx.Response) -> Submitted | Answered:
    """The answer to /fish/tts or /fish/audios: the audio, or a task."""
    data = _object(response)
    url = _audio_url(data)
    task, trace = _text(data.get("task_id")), _text(data.get("trace_id"))
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
    task = _text(data.get("task_id"))
    if task:
        return Submitted(task_id=task, trace_id=_text(data.get("trace_id")))
    raise CallInDoubt(f"the answer has neither _id nor task_id: {quote(response)}", status=response.status_code)


def _made(data: Mapping[str, Any]) -> VoiceInfo | None:
    """The voice in the answer of a creation: in `data`, or the answer itself."""
    for model in (data.get("data"), data):
        if isinstance(model, dict) and _text(model.get("_id")):
            return read_voice(model, _text(data.get("task_id")), _text(data.get("trace_id")))
    return None


def read_voice(model: Mapping[str, Any], task_id: str | None = None, trace_id: str | None = None) -> VoiceInfo:
    """A model object."""
    return VoiceInfo(
        id=str(model.get("_id") or ""),
        state=str(model.get("state") or "trained"),
        type=str(model.get("type") or "tts"),
        title=str(model.get("title") or ""),
        created=_moment(model.get("created_at")),
        description=str(model.get("description") or ""),
        tags=_words(model.get("tags")),
        languages=_words(model.get("languages")),
        visibility=str(model.get("visibility") or ""),
        task_id=task_id,
        trace_id=trace_id,
    )


def read_task(item: Mapping[str, Any]) -> TaskState:
    """A task: its `response` is what the call would have answered; null while it runs.

    One that has `finished_at` and no response yet may still get it: it is asked again.
    """
    response = item.get("response")
    body = response if isinstance(response, dict) else {}
    trace = _text(body.get("trace_id")) or _text(item.get("trace_id"))
    outcome = read_outcome(body, _text(item.get("id")), trace)
    if outcome is not None:
        return outcome
    words = {str(holder.get(name, "")).lower() for holder in (item, body) for name in ("status", "state")}
    error = item.get("error")
    if error or words & _FAILED:
        message = _message(error) or _message(body.get("message")) or "the task failed"
        return TaskFailed(message=message, trace_id=trace)
    if item.get("finished_at") and response is not None:
        shown = one_line(str(response))[:200]
        return TaskFailed(message=f"the task finished without a result: {shown}", trace_id=trace)
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
        raise CallFailed(message, str(code), response.status_code, _text(data.get("trace_id")) or "")
    return data


def _audio_url(data: Mapping[str, Any]) -> str | None:
    inner = data.get("data")
    first = inner[0] if isinstance(inner, list) and inner else inner
    for holder in (data, first):
        if isinstance(holder, dict) and _text(holder.get("audio_url")):
            return str(holder["audio_url"])
    return None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _message(error: object) -> str:
    if isinstance(error, dict):
        return one_line(": ".join(str(error[name]) for name in ("code", "message") if error.get(name)))
    return one_line(str(error)) if error else ""


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _moment(value: object) -> float | None:
    if isinstance(value, (int, float)):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
