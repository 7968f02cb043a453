"""Models (voices) as the API describes them."""

from __future__ import annotations

import datetime
from typing import Any


def iso(moment: float) -> str:
    """Unix seconds as the API writes a moment."""
    stamp = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_model(body: dict[str, Any], created: str, *, private: bool) -> dict[str, Any]:
    """A model object for a request's body, but for its id."""
    description = body.get("description") or ""
    return {
        "type": "tts",
        "title": body.get("title") or "untitled",
        "description": description,
        "cover_image": (body.get("image_urls") or [body.get("cover_image") or ""])[0],
        "train_mode": "fast",
        "state": "trained",
        "tags": body.get("tags") or [],
        "samples": [],
        "created_at": created,
        "updated_at": created,
        "languages": ["en"],
        "visibility": body.get("visibility") or ("private" if private else "public"),
        "lock_visibility": False,
        "default_text": "",
        "like_count": 0,
        "mark_count": 0,
        "shared_count": 0,
        "task_count": 0,
        "unliked": False,
        "liked": False,
        "marked": False,
        "author": {"_id": "0" * 32, "nickname": "sandbox", "avatar": ""},
    }
