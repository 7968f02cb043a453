"""What the documents allow in a request, and how they word a refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from fishpipe.sandbox.hosts import is_own

MODELS: Final = ("s1", "s2-pro", "s2.1-pro")
_ENUMS: Final = {
    "format": ("pcm", "mp3"),
    "sample_rate": (16000, 22050, 44100),
    "mp3_bitrate": (64, 128, 192),
    "latency": ("normal", "balanced"),
}
_RANGES: Final = {
    "temperature": (0.0, 1.0),
    "top_p": (0.0, 1.0),
    "chunk_length": (100, 300),
    "min_chunk_length": (0, 100),
    "repetition_penalty": (0.0, 2.0),
    "max_new_tokens": (0, 100_000),
}
_VISIBILITIES: Final = ("public", "unlist", "private")
_PROSODY: Final = {"speed": (0.5, 2.0), "volume": (-20.0, 20.0)}


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """An error answer: its status and its body but for the trace id."""

    status: int
    code: str
    message: str
    upstream: bool = False

    def body(self, trace_id: str) -> dict[str, Any]:
        """As the documents show it: the platform's shape, or upstream's pydantic list as a JSON string."""
        if self.upstream:
            return {"status": self.status, "message": self.message}
        return {"success": False, "error": {"code": self.code, "message": self.message}, "trace_id": trace_id}


def check_tts(body: dict[str, Any], model: str) -> None:
    """Raise Refusal where /fish/tts would."""
    if model not in MODELS:
        raise Refusal(400, "bad_request", "model is invalid.")
    if not isinstance(body.get("text"), str) or not body["text"].strip():
        raise Refusal(400, "token_mismatched", "text is required and must not be empty.")
    if "format" not in body:
        raise Refusal(400, "token_mismatched", "format is required.")
    if "reference_id" in body and "references" in body:
        raise Refusal(400, "token_mismatched", "reference_id and references exclude each other.")
    if isinstance(body.get("reference_id"), list) and model == "s1":
        raise Refusal(400, "bad_request", "reference_id must be a single id for s1.")
    _check_values(body)


def _check_values(body: dict[str, Any]) -> None:
    """Raise Refusal for a setting that is of another type, or out of its range."""
    problems = [*_enum_problems(body), *_range_problems(body, _RANGES, ())]
    prosody = body.get("prosody")
    if prosody is not None and not isinstance(prosody, dict):
        problems.append(_problem(("prosody",), "Input should be a valid dictionary", prosody, "dict_type"))
    problems += _range_problems(prosody if isinstance(prosody, dict) else {}, _PROSODY, ("prosody",))
    if problems:
        raise Refusal(400, "", json.dumps(problems), upstream=True)


def check_audios(body: dict[str, Any]) -> None:
    """Raise Refusal where /fish/audios would."""
    for name in ("prompt", "voice_id"):
        if not isinstance(body.get(name), str) or not body[name].strip():
            raise Refusal(400, "token_mismatched", f"{name} is required.")
    if body.get("action") not in ("speech", "generate"):
        raise Refusal(400, "token_mismatched", "action is invalid.")
    if body.get("model", "fish-tts") != "fish-tts":
        raise Refusal(400, "bad_request", "model is invalid.")
    _check_values(body)


def check_callback(body: dict[str, Any], *, anywhere: bool) -> None:
    """Raise Refusal for a callback that is no address, or leads off this machine where that is not allowed."""
    callback = body.get("callback_url")
    if callback is None or (isinstance(callback, str) and anywhere):
        return
    if not isinstance(callback, str) or not is_own(callback):
        raise Refusal(400, "bad_request", "callback_url must lead to this machine (others: --any-callback).")


def check_voice(url: object, title: object, name: str) -> None:
    """Raise Refusal where /fish/voices (or /fish/model) would."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Refusal(400, "token_mismatched", f"{name} must be an audio link.")
    if title is not None and not isinstance(title, str):
        raise Refusal(400, "token_mismatched", "title must be text.")


def check_model(body: dict[str, Any]) -> None:
    """Raise Refusal where POST /fish/model would: one audio link, known visibilities, flags that are flags."""
    check_voice(body.get("voices"), body.get("title"), "voices")
    problems = []
    if body.get("visibility", "public") not in _VISIBILITIES:
        words = " or ".join(repr(option) for option in _VISIBILITIES)
        problems.append(_problem(("visibility",), f"Input should be {words}", body["visibility"], "literal_error"))
    problems += [
        _problem((name,), "Input should be a valid boolean", body[name], "bool_type")
        for name in ("enhance_audio_quality", "generate_sample")
        if not isinstance(body.get(name, False), bool)
    ]
    if problems:
        raise Refusal(400, "", json.dumps(problems), upstream=True)


def _problem(loc: tuple[str, ...], message: str, value: object, kind: str) -> dict[str, Any]:
    return {"type": kind, "loc": list(loc), "msg": message, "input": value}


def _enum_problems(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, allowed in _ENUMS.items():
        if name in body and body[name] not in allowed:
            words = " or ".join(repr(option) for option in allowed)
            found.append(_problem((name,), f"Input should be {words}", body[name], "literal_error"))
    return found


def _range_problems(
    body: dict[str, Any], ranges: dict[str, tuple[float, float]], where: tuple[str, ...]
) -> list[dict[str, Any]]:
    found = []
    for name, (least, most) in ranges.items():
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            found.append(_problem((*where, name), "Input should be a valid number", value, "float_type"))
        elif not least <= value <= most:
            message = f"Input should be between {least} and {most}"
            found.append(_problem((*where, name), message, value, "out_of_range"))
    return found
