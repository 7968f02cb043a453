"""ID3v2.4 tags and chapters, the same bytes for the same values (by mutagen)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import langcodes
from mutagen import id3

from fishpipe.audio.mp3 import synchsafe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def id3_tag(tags: Mapping[str, str], chapters: Sequence[tuple[str, int, int]]) -> bytes:
    """A tag of title, artist, album, track and language, with CHAP frames of (title, start ms, end ms)."""
    frames: list[id3.Frame] = []
    text = {"encoding": id3.Encoding.UTF8}
    for key, frame in (("title", id3.TIT2), ("artist", id3.TPE1), ("album", id3.TALB)):
        if key in tags:
            frames.append(frame(text=[tags[key]], **text))
    if "track" in tags:
        frames.append(id3.TRCK(text=[tags["track"]], **text))
    if "language" in tags:
        frames.append(id3.TLAN(text=[iso639_2(tags["language"])], **text))
    names = [f"chp{number}" for number in range(len(chapters))]
    for name, (title, start, end) in zip(names, chapters, strict=True):
        title_frame = id3.TIT2(text=[title], **text)
        frames.append(id3.CHAP(element_id=name, start_time=start, end_time=end, sub_frames=[title_frame]))
    if names:
        ordered = id3.CTOCFlags.TOP_LEVEL | id3.CTOCFlags.ORDERED
        frames.append(id3.CTOC(element_id="toc", flags=ordered, child_element_ids=names, sub_frames=[]))
    if not frames:
        return b""
    tag = id3.ID3()
    for item in frames:
        tag.add(item)
    file = io.BytesIO()
    tag.save(file, v1=0, v2_version=4, padding=lambda _: 0)
    return _in_order(file.getvalue())


def _in_order(tag: bytes) -> bytes:
    """The same tag, its chapters by time: mutagen writes the smallest first, and some players do not look further."""
    found, offset = [], 10
    while offset < len(tag):
        end = offset + 10 + synchsafe(tag[offset + 4 : offset + 8])
        found.append(tag[offset:end])
        offset = end
    chapters = iter(sorted((frame for frame in found if frame[:4] == b"CHAP"), key=_starts))
    return tag[:10] + b"".join(next(chapters) if frame[:4] == b"CHAP" else frame for frame in found)


def _starts(chapter: bytes) -> tuple[int, bytes]:
    """When a chapter begins, behind its name; then its number."""
    name, _, rest = chapter[10:].partition(b"\0")
    return int.from_bytes(rest[:4], "big"), name.rjust(12)


def iso639_2(tag: str) -> str:
    """A BCP 47 tag's language as ISO 639-2, as TLAN wants it; the tag itself where there is no such code."""
    try:
        return langcodes.Language.get(tag).to_alpha3()
    except LookupError:
        return tag
