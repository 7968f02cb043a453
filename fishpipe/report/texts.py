"""What becomes of a text: as it is written, as it is sent, as captions show it."""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from fishpipe.manifest.model import Pause, Speech
from fishpipe.report.prose import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fishpipe.manifest.model import Segment


# A direction as a dialogue hands it on; it was written in parentheses.
_DIRECTION: Final = re.compile(r'<cue name="([^"]*)" direction="yes"/>')


def texts_data(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """For each line: its address, place, what is written, the calls and pauses it takes, what captions show."""
    return [_line(address, list(parts)) for address, parts in groupby(segments, key=lambda segment: segment.line)]


def _line(address: str, parts: Sequence[Segment]) -> dict[str, Any]:
    first = parts[0]
    spoken = [part.body for part in parts if isinstance(part.body, Speech)]
    return {
        "address": address,
        "place": str(first.span),
        "language": first.language,
        "written": _DIRECTION.sub(r"(\1)", first.written) or " ".join(speech.text for speech in spoken),
        "sent": [sent for part in parts for sent in _sent(part)],
        "shown": first.caption or " ".join(speech.shown for speech in spoken if speech.shown),
    }


def _sent(part: Segment) -> Iterator[dict[str, Any]]:
    body = part.body
    if isinstance(body, Pause):
        yield {"address": part.address, "pause": body.duration / 1e6}
    elif isinstance(body, Speech):
        asked = body.settings
        yield {
            "address": part.address,
            "text": body.text,
            "voice": "+".join(voice.name for voice in body.voices),
            "model": asked.model if asked.api == "tts" else "fish-tts",
            "speed": asked.speed,
            "volume": asked.volume,
            "bytes": len(body.text.encode()),
            "lexicon": {written: body.text[start:end] for start, end, word, written in body.respelled if word},
        }


def texts_text(line: dict[str, Any]) -> str:
    """The same for a person."""
    language = f" ({line['language']})" if line["language"] else ""
    lines = [f"{line['place']}: {line['address']}{language}"]
    lines.append(f"  written  {line['written']}")
    for sent in line["sent"]:
        if "pause" in sent:
            lines.append(f"  pause    {sent['pause']:g}s")
            continue
        lines.append(f"  sent     {sent['text']}")
        style = [f"speed {sent['speed']:g}"] if sent["speed"] != 1 else []
        style += [f"volume {sent['volume']:g} dB"] if sent["volume"] else []
        who = ", ".join([sent["model"], *filter(None, [sent["voice"]]), *style, count(sent["bytes"], "byte")])
        lines.append(f"           by {who}")
        lines += [f"           lexicon: {word} → {said}" for word, said in sent["lexicon"].items()]
    lines.append(f"  shown    {line['shown']}")
    return "\n".join(lines)
