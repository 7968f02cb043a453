"""The Fish API on loopback, as its documents describe it (not as our client uses it)."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from fishpipe.sandbox.callbacks import Callbacks
from fishpipe.sandbox.hosts import OwnHosts
from fishpipe.sandbox.models import iso, new_model
from fishpipe.sandbox.requests import Refusal, check_audios, check_callback, check_model, check_tts, check_voice
from fishpipe.sandbox.switches import UNBILLED, Dice, Fault, Switches

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.requests import Request

    from fishpipe.sandbox.state import State

    Renderer = Callable[[str, dict[str, Any], str, int], bytes]

PRICE_PER_BYTE: Final = 15 / 1e6
_MAX_BODY: Final = 4 << 20
_VOICE_ID: Final = re.compile(r"[0-9a-f]{32}")


class Sandbox:
    """The application; `render` makes the audio of a task."""

    def __init__(
        self, state: State, audio: Path, switches: Switches, now: Callable[[], float], render: Renderer
    ) -> None:
        self.state, self.audio, self.switches, self.now, self.render = state, audio, switches, now, render
        self.dice = Dice(switches)
        self.callbacks = Callbacks(self.dice)
        self.in_flight = 0
        self.making: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self.cores = asyncio.Semaphore(2)
        audio.mkdir(parents=True, exist_ok=True)

    def app(self) -> Starlette:
        """The routes."""
        routes = [
            Route("/fish/tts", self._guarded(self.tts), methods=["POST"]),
            Route("/fish/audios", self._guarded(self.audios), methods=["POST"]),
            Route("/fish/voices", self._guarded(self.voices), methods=["POST"]),
            Route("/fish/model", self._guarded(self.model_create), methods=["POST"]),
            Route("/fish/model", self._guarded(self.model_list), methods=["GET"]),
            Route("/fish/model/{id}", self._guarded(self.model_get), methods=["GET"]),
            Route("/fish/tasks", self._guarded(self.tasks), methods=["POST"]),
            Route("/task/{link}.mp3", self.download, methods=["GET"]),
            Route("/sandbox/usage", self.usage, methods=["GET"]),
            Route("/{path:path}", self._guarded(self.nothing), methods=["GET", "POST"]),
        ]
        return Starlette(routes=routes, middleware=[Middleware(OwnHosts)])

    def _guarded(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                self._authorise(request)
                return await handler(request)
            except Refusal as refusal:
                return JSONResponse(refusal.body(str(uuid.uuid4())), refusal.status)
            except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
                odd = Refusal(400, "bad_request", "The request cannot be read.")
                return JSONResponse(odd.body(str(uuid.uuid4())), odd.status)

        return endpoint

    def _authorise(self, request: Request) -> None:
        header = request.headers.get("authorization", "")
        if not header:
            raise Refusal(400, "no_token", "No token specified for the request.")
        token = header.removeprefix("Bearer ").strip()
        if not token or (self.switches.token is not None and token != self.switches.token):
            raise Refusal(401, "invalid_token", "The specified token is invalid or wrong.")

    async def _body(self, request: Request) -> dict[str, Any]:
        data = b""
        async for chunk in request.stream():
            data += chunk
            if len(data) > _MAX_BODY:
                raise Refusal(400, "bad_request", "The body is too large.")
        try:
            body = json.loads(data)
            # Halves of surrogate pairs are no text that anything here could keep.
            json.dumps(body, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise Refusal(400, "bad_request", "The body must be a JSON object.")
        return body

    async def tts(self, request: Request) -> Response:
        """POST /fish/tts."""
        body = await self._body(request)
        model = request.headers.get("model", "s2-pro")
        check_tts(body, model)
        self._check_ids(body.get("reference_id"))
        return await self._speak(request, "tts", {**body, "model": model}, body["text"])

    async def audios(self, request: Request) -> Response:
        """POST /fish/audios."""
        body = await self._body(request)
        check_audios(body)
        self._check_ids(body["voice_id"])
        return await self._speak(request, "audios", body, body["prompt"])

    def _check_ids(self, reference: object) -> None:
        if not self.switches.strict_ids or reference is None:
            return
        for voice in reference if isinstance(reference, list) else [reference]:
            if self.state.voice(str(voice)) is None:
                raise Refusal(400, "bad_request", "Reference not found.")

    async def _speak(self, request: Request, kind: str, body: dict[str, Any], text: str) -> Response:
        check_callback(body, anywhere=self.switches.any_callback)
        fault = self._rolled()
        self.in_flight += 1
        try:
            task = self.state.bill(kind, body, len(text.encode()))
            making = self._make(task["id"], str(request.base_url))
            callback = body.get("callback_url")
            if callback or body.get("async") is True:
                if callback:
                    self.callbacks.send_when(str(callback), task["id"], making)
                answer = (
                    {"task_id": task["id"], "started_at": iso(task["created"])}
                    if kind == "tts"
                    else {"task_id": task["id"]}
                )
            else:
                answer = await asyncio.shield(making)
        finally:
            self.in_flight -= 1
        return self._answered(answer, fault)

    def _rolled(self) -> Fault | None:
        """Chance, and the rate limit; what is not billed is raised here."""
        limit = self.switches.rate_limit
        fault = "429" if limit is not None and self.in_flight >= limit else self.dice.roll()
        if fault in UNBILLED:
            status = int(fault)
            code, message = {
                429: ("too_many_requests", "You have exceeded the rate limit."),
                500: ("api_error", "fetch failed"),
                503: ("api_error", "Service unavailable."),
            }[status]
            raise Refusal(status, code, message)
        return fault

    def _answered(self, answer: dict[str, Any], fault: Fault | None) -> Response:
        data = json.dumps(answer).encode()
        match fault:
            case "502":
                return HTMLResponse("<html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1></html>", 502)
            case "html":
                return HTMLResponse("<html><title>Just a moment</title></html>", 200)
            case "drop":
                return _Dropped()
            case "truncate":
                return Response(data[: len(data) // 2], media_type="application/json")
            case _:
                return Response(data, media_type="application/json")

    def _make(self, task_id: str, base: str) -> asyncio.Task[dict[str, Any]]:
        if task_id not in self.making:
            making = asyncio.create_task(self._finish(task_id, base))
            self.making[task_id] = making
            making.add_done_callback(lambda _: self.making.pop(task_id, None))
        return self.making[task_id]

    async def _finish(self, task_id: str, base: str) -> dict[str, Any]:
        if self.switches.latency:
            await asyncio.sleep(self.switches.latency)
        task = self.state.task(task_id)
        if task is None:
            raise RuntimeError("a task without a row")
        async with self.cores:
            await asyncio.to_thread(self._audio, task)
        url = f"{base}task/{task['link']}.mp3"
        answer: dict[str, Any] = {"audio_url": url}
        if task["type"] == "audios":
            ids = {"task_id": task_id, "trace_id": task["trace_id"]}
            answer = {"success": True, **ids, "data": [{"audio_url": url}]}
        self.state.finish(task_id, answer)
        return answer

    def _audio(self, task: sqlite3.Row) -> Path:
        """The file of a task's audio, made where it is not there yet."""
        file = self.audio / str(task["link"])
        if file.is_symlink() or not file.is_file():
            data = self.render(task["type"], json.loads(task["request"]), task["digest"], task["take"])
            part = file.with_suffix(f".{uuid.uuid4().hex}")
            with part.open("xb") as made:
                made.write(data)
            part.replace(file)
        return file

    async def download(self, request: Request) -> Response:
        """The audio behind a link, while it lives."""
        task = self.state.by_link(request.path_params["link"])
        if task is None or task["finished"] is None:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404, media_type="application/xml")
        if self.now() - task["finished"] > self.switches.link_ttl:
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, media_type="application/xml")
        data = (await asyncio.to_thread(self._audio, task)).read_bytes()
        if self.dice.roll(download=True) == "half":
            return Response(data[: len(data) // 2], media_type="audio/mpeg")
        self.state.heard(task["id"])
        return Response(data, media_type="audio/mpeg")

    async def voices(self, request: Request) -> Response:
        """POST /fish/voices."""
        body = await self._body(request)
        check_voice(body.get("voice_url"), body.get("title"), "voice_url")
        return await self._create(request, body, body["voice_url"], wrapped=True)

    async def model_create(self, request: Request) -> Response:
        """POST /fish/model (a later document)."""
        body = await self._body(request)
        check_model(body)
        return await self._create(request, body, body["voices"], wrapped=False)

    async def _create(self, request: Request, body: dict[str, Any], sample: str, *, wrapped: bool) -> Response:
        check_callback(body, anywhere=self.switches.any_callback)
        fault = self._rolled()
        if self.switches.latency:
            await asyncio.sleep(self.switches.latency)
        task = self.state.bill("voices" if wrapped else "model", body, 0)
        model = self.state.create_voice(sample, new_model(body, iso(self.now()), private=not wrapped))
        shown = self._shown(model["_id"]) or model
        answer = (
            {"success": True, "task_id": task["id"], "trace_id": task["trace_id"], "data": shown} if wrapped else shown
        )
        self.state.finish(task["id"], answer)
        callback = body.get("callback_url")
        if callback:
            self.callbacks.send(str(callback), task["id"], answer)
            return self._answered({"task_id": task["id"]}, fault)
        del request
        return self._answered(answer, fault)

    def _shown(self, voice_id: str) -> dict[str, Any] | None:
        """A created voice in its state of now; any other well-formed id is a public voice, unless ids are strict."""
        known = self.state.voice(voice_id)
        if known is not None:
            model, sample, created = known
            failing = self.switches.failing_samples
            trained = self.now() - created >= self.switches.training_time
            state = "training" if not trained else "failed" if failing and failing in sample else "trained"
            return {**model, "state": state}
        if self.switches.strict_ids or not _VOICE_ID.fullmatch(voice_id):
            return None
        return {**new_model({"title": f"Voice {voice_id[:6]}"}, iso(0), private=False), "_id": voice_id}

    async def model_get(self, request: Request) -> Response:
        """GET /fish/model/{id}."""
        shown = self._shown(request.path_params["id"])
        if shown is None:
            raise Refusal(400, "bad_request", "model is invalid.")
        return JSONResponse(shown)

    async def model_list(self, request: Request) -> Response:
        """GET /fish/model (a later document): the voices created here."""
        query = request.query_params
        voices = [shown for voice in self.state.voices() if (shown := self._shown(voice))]
        title, tag = query.get("title"), query.get("tag")
        voices = [
            v for v in voices if (not title or title.lower() in v["title"].lower()) and (not tag or tag in v["tags"])
        ]
        size, page = _number(query.get("page_size"), 10), _number(query.get("page_number"), 1)
        return JSONResponse({"total": len(voices), "items": voices[(page - 1) * size : page * size]})

    async def tasks(self, request: Request) -> Response:
        """POST /fish/tasks: retrieve, retrieve_batch."""
        body = await self._body(request)
        match body:
            case {"action": "retrieve", "id": str(task_id)}:
                shown = self._task(task_id, str(request.base_url))
                if shown is None:
                    raise Refusal(400, "bad_request", "task is not found.")
                return JSONResponse(shown)
            case {"action": "retrieve_batch", "ids": list(ids)}:
                items = [shown for item in ids if (shown := self._task(str(item), str(request.base_url)))]
                return JSONResponse({"items": items, "count": len(items)})
            case _:
                raise Refusal(400, "bad_request", "action must be retrieve with id, or retrieve_batch with ids.")

    def _task(self, task_id: str, base: str) -> dict[str, Any] | None:
        task = self.state.task(task_id)
        if task is None:
            return None
        if task["response"] is None:
            self._make(task_id, base)
        elif self.switches.renew_links and self.now() - task["finished"] > self.switches.link_ttl:
            link = uuid.uuid4().hex
            self.state.relink(task_id, json.loads(task["response"].replace(task["link"], link)), link)
            task = self.state.task(task_id) or task
        response = json.loads(task["response"]) if task["response"] else None
        request = json.loads(task["request"])
        elapsed = round(task["finished"] - task["created"], 3) if task["finished"] else None
        return {
            "id": task["id"],
            "type": task["type"],
            "request": request,
            "response": response,
            "created_at": task["created"],
            "started_at": task["created"],
            "finished_at": task["finished"],
            "elapsed": elapsed,
            "trace_id": task["trace_id"],
            # The platform's own command line reads the state here.
            "data": {"id": task["id"], "state": "succeeded" if response else "pending"},
        }

    async def usage(self, _: Request) -> Response:
        """What was billed: the sandbox's own, not part of the API."""
        items = self.state.usage()
        size = sum(item["bytes"] for item in items)
        return JSONResponse({"calls": len(items), "bytes": size, "usd": size * PRICE_PER_BYTE, "items": items})

    async def nothing(self, _: Request) -> Response:
        """Any other path."""
        raise Refusal(404, "no_api", "API does not exist, please make sure url is correct.")


class _Dropped(Response):
    """An answer whose connection breaks in the middle."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b'{"aud', "more_body": True})
        raise ConnectionAbortedError


def _number(text: str | None, default: int) -> int:
    return max(1, int(text)) if text and text.isascii() and text.isdigit() and len(text) < 10 else default
