"""Callbacks: the answer of a call, POSTed to the address that the call named."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx

_SENDING: set[asyncio.Task[None]] = set()


def send_callback(url: str, task_id: str, done: asyncio.Future[dict[str, Any]]) -> None:
    """Send a finished task's answer, once; a receiver that is not there is its own loss."""
    if not done.cancelled() and done.exception() is None:
        task = asyncio.get_running_loop().create_task(_post(url, {**done.result(), "task_id": task_id}))
        _SENDING.add(task)
        task.add_done_callback(_SENDING.discard)


async def _post(url: str, answer: dict[str, Any]) -> None:
    with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL):
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            await client.post(url, json=answer)
