"""The Fish API through Ace Data Cloud, over HTTP/1.1: the runner's Speech port.

A paid POST that left and was not answered is raised as CallInDoubt; one that never left as TransientError.
The token goes to the API's host alone and is taken out of every message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote as url_quote

import httpx

from fishpipe.errors import AuthError, CallInDoubt, CallRefused, ServiceError, TransientError
from fishpipe.fish.answers import read_created_voice, read_speech, read_task, read_voice
from fishpipe.fish.faults import fault, masked, parse_object, quote
from fishpipe.fish.hosts import is_loopback
from fishpipe.ports import Answered, Running, Submitted, TaskState, VoiceInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fishpipe.graph.steps import ClipStep, VoiceStep
    from fishpipe.manifest.model import Delivery

_MAX_ANSWER: Final = 16 << 20
_MOST_HEADER: Final = 4096
_FREE_TIMEOUT: Final = httpx.Timeout(60.0, connect=20.0, pool=None)
_FREE_DEADLINE: Final = 120.0
# All headers of an answer that are read.
_READ: Final = ("content-type", "date", "location", "retry-after", "trace-id", "x-trace-id")
_MOST_VOICES: Final = 1 << 30
# Shorter than what servers keep an idle connection for: a paid POST must not meet one that is being closed.
_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=2.0)
_NEVER_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class FishClient:
    """One connection pool; close it with `aclose`. `token` may be None where nothing is paid.

    `deadline` is how many seconds a paid call may be held open, `now` gives Unix seconds; `secrets` are masked in
    answers as the token is.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        delivery: Delivery,
        now: Callable[[], float],
        deadline: float = 1800.0,
        secrets: Sequence[str] = (),
    ) -> None:
        self._token = token
        self._secrets = [*filter(None, [token]), *secrets]
        self._delivery = delivery
        self._now = now
        self._deadline = deadline
        self._patience = httpx.Timeout(deadline, connect=20.0, pool=None)
        headers = {"accept": "application/json", "user-agent": "fishpipe"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.AsyncClient(
            base_url=base_url.rstrip("/"),
            headers=headers,
            limits=_LIMITS,
            trust_env=not is_loopback(base_url),
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def speak(self, step: ClipStep, voice_ids: Sequence[str], callback: str | None) -> Submitted | Answered:
        """POST /fish/tts or /fish/audios; voices by reference or id. /fish/audios knows no `async`: it is held open."""
        body = dict(step.body)
        if callback is not None:
            body["callback_url"] = callback
        if step.api == "audios":
            return read_speech(await self._post("/fish/audios", {**body, "voice_id": voice_ids[0]}))
        if voice_ids:
            body["reference_id"] = voice_ids[0] if len(voice_ids) == 1 else list(voice_ids)
        elif step.speakers:
            references = (item for speaker in step.speakers for item in speaker.references)
            body["references"] = [{"audio": item.audio, "text": item.text} for item in references]
        if self._delivery == "poll":
            body["async"] = True
        return read_speech(await self._post("/fish/tts", body, {"model": step.model}))

    async def create_voice(self, step: VoiceStep, callback: str | None) -> Submitted | VoiceInfo:
        """POST /fish/voices, or /fish/model where the voice asks for it; held open unless there is a callback."""
        path, body = creation(step)
        if callback is not None:
            body["callback_url"] = callback
        return read_created_voice(await self._post(path, body))

    async def voice(self, voice_id: str) -> VoiceInfo:
        """GET /fish/model/{id}. Raises CallRefused where there is none."""
        response = await self._free("GET", f"/fish/model/{url_quote(voice_id, safe='')}")
        data = parse_object(response)
        voice = read_voice(data or {})
        if not voice.id:
            raise TransientError(f"the answer has no _id: {quote(response)}", status=response.status_code)
        return voice

    async def find_voices(self, title: str) -> Sequence[VoiceInfo]:
        """GET /fish/model: the account's own voices of exactly this title."""
        _, voices = await self.list_voices(own=True, title=title, size=100)
        wanted = title.casefold().strip()
        return [voice for voice in voices if voice.title.casefold().strip() == wanted]

    async def list_voices(
        self, *, own: bool, title: str = "", tag: str = "", size: int = 20, page: int = 1
    ) -> tuple[int, Sequence[VoiceInfo]]:
        """GET /fish/model: how many voices fit, and one page (from 1) of them."""
        params: dict[str, str | int] = {"page_size": size, "page_number": page}
        params |= {"self": "true"} if own else {}
        params |= {name: value for name, value in (("title", title), ("tag", tag)) if value}
        response = await self._free("GET", "/fish/model", params=params)
        data = parse_object(response) or {}
        items = data.get("items")
        voices = [read_voice(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        if not isinstance(items, list) or len(voices) != len(items) or not all(voice.id for voice in voices):
            message = f"the list of voices cannot be read: {quote(response)}"
            raise TransientError(message, status=response.status_code)
        total = data.get("total")
        return total if isinstance(total, int) and 0 <= total < _MOST_VOICES else len(items), voices

    async def tasks(self, ids: Sequence[str]) -> Mapping[str, TaskState]:
        """POST /fish/tasks: one by `retrieve`, several by `retrieve_batch`; those it does not know are not known."""
        unknown: dict[str, TaskState] = {task: Running(known=False) for task in ids}
        if len(ids) == 1:
            try:
                data = parse_object(await self._free("POST", "/fish/tasks", json={"id": ids[0], "action": "retrieve"}))
            except CallRefused:
                return unknown
            # An answer that speaks of no task is not one that still runs.
            known = data is not None and data.keys() & {"id", "response", "status", "state", "finished_at"}
            items = [{**data, "id": ids[0]}] if data and known else []
        else:
            body = {"ids": list(ids), "action": "retrieve_batch"}
            try:
                found = (parse_object(await self._free("POST", "/fish/tasks", json=body)) or {}).get("items")
            except CallRefused:
                # One that it dislikes, or no batches at all: each is asked for alone.
                alone = await asyncio.gather(*(self.tasks([task]) for task in ids))
                return {task: state for states in alone for task, state in states.items()}
            items = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
        return unknown | {str(item["id"]): read_task(item) for item in items if str(item.get("id")) in unknown}

    async def _post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A paid call."""
        if not self._token:
            raise AuthError("no token is set", "no_token")
        try:
            async with asyncio.timeout(self._deadline):
                response = await self._read("POST", path, json=body, headers=headers, timeout=self._patience)
        except TimeoutError as error:
            raise CallInDoubt(f"no answer came within {self._deadline:g} s (call_deadline)", "deadline") from error
        except _NEVER_LEFT as error:
            raise TransientError(self._masked(f"cannot connect: {str(error) or type(error).__name__}")) from error
        except httpx.HTTPError as error:
            raise CallInDoubt(self._masked(f"the connection broke: {str(error) or type(error).__name__}")) from error
        return self._judged(response)

    async def _free(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        """A query: what may be tried again without harm is a TransientError."""
        try:
            async with asyncio.timeout(_FREE_DEADLINE):
                response = await self._read(method, path, timeout=_FREE_TIMEOUT, **options)
            return self._judged(response)
        except TimeoutError as error:
            raise TransientError(f"no answer came within {_FREE_DEADLINE:g} s") from error
        except httpx.HTTPError as error:
            raise TransientError(self._masked(f"cannot connect: {str(error) or type(error).__name__}")) from error
        except CallInDoubt as error:
            raise TransientError(error.message, error.code, error.status, error.trace_id) from error

    async def _read(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        """The whole answer, of a bounded size: what is longer is cut, and so no JSON."""
        async with self._http.stream(method, path, **options) as response:
            data = b""
            async for chunk in response.aiter_bytes():
                data += chunk
                if len(data) > _MAX_ANSWER:
                    data = data[:_MAX_ANSWER]
                    break
        found = {name: value for name in _READ if (value := response.headers.get(name)) is not None}
        headers = {name: value.encode("ascii", "replace")[:_MOST_HEADER] for name, value in found.items()}
        return httpx.Response(response.status_code, headers=headers, content=data, request=response.request)

    def _judged(self, response: httpx.Response) -> httpx.Response:
        response = self._cleaned(response)
        if response.status_code < 300:
            return response
        error: ServiceError = fault(response, self._now())
        raise error

    def _cleaned(self, response: httpx.Response) -> httpx.Response:
        """The answer without the token, should the service echo it, also where JSON spells it in another way."""
        content = response.content
        for secret in self._secrets:
            for spelling in {secret, url_quote(secret, safe="")}:
                content = content.replace(spelling.encode(), b"***")
        if b"\\" in content:
            with contextlib.suppress(ValueError, RecursionError):
                content = self._masked(json.dumps(json.loads(content), ensure_ascii=False)).encode("utf-8", "replace")
        sent = [(name, value) for name in _READ if (value := response.headers.get(name)) is not None]
        headers = [(name, self._masked(value)) for name, value in sent]
        if content == response.content and headers == sent:
            return response
        return httpx.Response(response.status_code, headers=headers, content=content)

    def _masked(self, text: str) -> str:
        return str(masked(text, self._secrets))


def creation(step: VoiceStep) -> tuple[str, dict[str, Any]]:
    """The path and the body of the call that creates a voice."""
    voice = step.voice
    body: dict[str, Any]
    if voice.create == "voices":
        body = {"voice_url": voice.sample_url, "title": voice.title, "description": voice.description}
        body["image_urls"] = list(voice.image_urls)
        return "/fish/voices", {name: value for name, value in body.items() if value}
    body = {
        "voices": voice.sample_url,
        "title": voice.title,
        "visibility": voice.visibility,
        "description": voice.description,
        "texts": list(voice.texts) or None,
        "tags": list(voice.tags) or None,
        "cover_image": voice.cover_image,
        "enhance_audio_quality": voice.enhance_audio_quality,
        "generate_sample": voice.generate_sample,
    }
    return "/fish/model", {name: value for name, value in body.items() if value is not None}
