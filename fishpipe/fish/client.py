"""The Fish API through Ace Data Cloud, over HTTP/1.1: the runner's Speech port.

A paid POST that left and was not answered is raised as CallInDoubt; one that never left as TransientError.
The token goes to the API's host alone and is taken out of every message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote as url_quote

import httpx

from fishpipe.errors import AuthError, CallInDoubt, CallRefused, ServiceError, TransientError
from fishpipe.fish.answers import read_created_voice, read_speech, read_task, read_voice
from fishpipe.fish.faults import fault, parse_object, quote
from fishpipe.fish.hosts import is_loopback
from fishpipe.ports import Answered, Running, Submitted, TaskState, VoiceInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fishpipe.graph.steps import ClipStep, VoiceStep
    from fishpipe.manifest.model import Delivery

_PAID_TIMEOUT: Final = httpx.Timeout(600.0, connect=20.0, pool=None)
_FREE_TIMEOUT: Final = httpx.Timeout(60.0, connect=20.0, pool=None)
# Shorter than what servers keep an idle connection for: a paid POST must not meet one that is being closed.
_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=2.0)
_NEVER_LEFT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class FishClient:
    """One connection pool; close it with `aclose`. `token` may be None where nothing is paid."""

    def __init__(self, base_url: str, token: str | None, delivery: Delivery) -> None:
        self._token = token
        self._delivery = delivery
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

    async def speak(self, step: ClipStep, voice_id: str | None) -> Submitted | Answered:
        """POST /fish/tts or /fish/audios; voices by reference or id."""
        if step.api == "audios":
            return read_speech(await self._post("/fish/audios", {**step.body, "voice_id": voice_id}))
        body = dict(step.body)
        if voice_id is not None:
            body["reference_id"] = voice_id
        elif step.speaker.references:
            body["references"] = [{"audio": item.audio, "text": item.text} for item in step.speaker.references]
        if self._delivery == "poll":
            body["async"] = True
        return read_speech(await self._post("/fish/tts", body, {"model": step.model}))

    async def create_voice(self, step: VoiceStep) -> VoiceInfo:
        """POST /fish/voices, held open until the voice has an id."""
        body: dict[str, Any] = {"voice_url": step.sample_url, "title": step.title}
        if step.description:
            body["description"] = step.description
        if step.image_urls:
            body["image_urls"] = list(step.image_urls)
        return read_created_voice(await self._post("/fish/voices", body))

    async def voice(self, voice_id: str) -> VoiceInfo:
        """GET /fish/model/{id}. Raises CallRefused where there is none."""
        response = await self._free("GET", f"/fish/model/{url_quote(voice_id, safe='')}")
        data = parse_object(response)
        if data is None or not data.get("_id"):
            raise TransientError(f"the answer has no _id: {quote(response)}", status=response.status_code)
        return read_voice(data)

    async def find_voices(self, title: str) -> Sequence[VoiceInfo]:
        """GET /fish/model: the account's own voices of exactly this title."""
        params = {"self": "true", "title": title, "page_size": 100, "page_number": 1}
        response = await self._free("GET", "/fish/model", params=params)
        items = (parse_object(response) or {}).get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) and item.get("_id") for item in items):
            message = f"the list of voices cannot be read: {quote(response)}"
            raise TransientError(message, status=response.status_code)
        wanted = title.casefold().strip()
        voices = [read_voice(item) for item in items]
        return [voice for voice in voices if voice.title.casefold().strip() == wanted]

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
            found = (parse_object(await self._free("POST", "/fish/tasks", json=body)) or {}).get("items")
            items = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
        return unknown | {str(item["id"]): read_task(item) for item in items if str(item.get("id")) in unknown}

    async def _post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A paid call."""
        if not self._token:
            raise AuthError("no token is set", "no_token")
        try:
            response = await self._http.post(path, json=body, headers=headers, timeout=_PAID_TIMEOUT)
        except _NEVER_LEFT as error:
            raise TransientError(self._masked(f"cannot connect: {str(error) or type(error).__name__}")) from error
        except httpx.HTTPError as error:
            raise CallInDoubt(self._masked(f"the connection broke: {str(error) or type(error).__name__}")) from error
        return self._judged(response)

    async def _free(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        """A query: what may be tried again without harm is a TransientError."""
        try:
            return self._judged(await self._http.request(method, path, timeout=_FREE_TIMEOUT, **options))
        except httpx.HTTPError as error:
            raise TransientError(self._masked(f"cannot connect: {str(error) or type(error).__name__}")) from error
        except CallInDoubt as error:
            raise TransientError(error.message, error.code, error.status, error.trace_id) from error

    def _judged(self, response: httpx.Response) -> httpx.Response:
        response = self._cleaned(response)
        if response.status_code < 300:
            return response
        error: ServiceError = fault(response)
        raise error

    def _cleaned(self, response: httpx.Response) -> httpx.Response:
        """The answer without the token, should the service echo it."""
        secret = (self._token or "").encode()
        if not secret or secret not in response.content:
            return response
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        headers["content-type"] = response.headers.get("content-type", "")
        return httpx.Response(response.status_code, headers=headers, content=response.content.replace(secret, b"***"))

    def _masked(self, text: str) -> str:
        return text.replace(self._token, "***") if self._token else text
