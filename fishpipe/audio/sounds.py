"""The sounds of items: read, verified and decoded; the last ones are kept, so that several outputs decode once."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from fishpipe.audio.copying import frames_of
from fishpipe.audio.decode import decode_clip, decode_file
from fishpipe.errors import AudioError, DamagedClip, FishpipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fishpipe.audio.carrier import AudioSegment
    from fishpipe.graph.fingerprints import Digest, Fingerprint
    from fishpipe.graph.steps import Item
    from fishpipe.ports import ClipFile

# Bytes of sound that are kept.
_KEPT: Final = 12 << 20

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The values that were made last, up to so many bytes by `size`: each is made once, whoever asks, on any thread."""

    def __init__(self, size: Callable[[Value], int]) -> None:
        self._size_of, self._size = size, 0
        self._kept: OrderedDict[str, Future[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def once(self, key: str, make: Callable[[], Value]) -> Value:
        """The value of a key. Raises what `make` raises."""
        with self._lock:
            future = self._kept.get(key)
            is_mine = future is None
            if future is None:
                future = self._kept[key] = Future()
            self._kept.move_to_end(key)
        if is_mine:
            try:
                value = make()
            except BaseException as error:
                with self._lock:
                    self._kept.pop(key, None)
                future.set_exception(error)
                raise
            future.set_result(value)
            self._shrink(self._size_of(value))
        return future.result()

    def _shrink(self, more: int) -> None:
        with self._lock:
            self._size += more
            while self._size > _KEPT:
                key = next((key for key, future in self._kept.items() if future.done()), None)
                if key is None:
                    break
                self._size -= self._size_of(self._kept.pop(key).result())


class Sounds:
    """What items sound like. `assets` are the digests of the project's audio files, by path; for several threads.

    `wide` decodes to 32 bits; what is damaged is put aside if it `puts_aside`.
    """

    def __init__(
        self,
        clips: Mapping[Fingerprint, ClipFile],
        assets: Mapping[str, Digest],
        *,
        wide: bool = False,
        puts_aside: bool = True,
    ) -> None:
        self._clips, self._assets, self.wide, self._puts_aside = clips, assets, wide, puts_aside
        self._decoded: Kept[AudioSegment] = Kept(lambda sound: len(sound.raw_data))
        self._bytes: Kept[bytes] = Kept(len)
        self._starts: Kept[list[int]] = Kept(lambda starts: 32 * len(starts))

    def digest(self, item: Item) -> Digest:
        """Of an item's bytes."""
        return self._clips[item.clip].digest if item.clip is not None else self.asset_digest(item.asset)

    def asset_digest(self, path: Path | None) -> Digest:
        """Of an audio file of the project."""
        return self._assets[str(path)]

    def file(self, item: Item) -> ClipFile | None:
        """The clip of an item, if it is one."""
        return self._clips[item.clip] if item.clip is not None else None

    def kind(self, item: Item) -> str:
        """What an item's file is: mp3, pcm, or the suffix of a file of the project."""
        clip = self.file(item)
        return clip.format if clip is not None else item.asset.suffix.lower()[1:] if item.asset is not None else ""

    def data(self, item: Item) -> bytes:
        """An item's bytes, which are those of its digest. Raises DamagedClip, or AudioError with the item's address."""
        key, clip, asset = f"{self.digest(item)} bytes", self.file(item), item.asset
        if clip is not None:
            return self._bytes.once(key, lambda: self._whole(item, clip))
        if asset is None:
            return b""
        try:
            return self._bytes.once(key, lambda: self._file_bytes(asset))
        except (AudioError, OSError) as error:
            raise AudioError(f"{item.address} ({item.span}): {error}") from error

    def starts(self, item: Item) -> list[int]:
        """Where each frame of an item's mp3 begins, and where the last one ends. Raises as `data`, or AudioError."""
        return self._starts.once(self.digest(item), lambda: frames_of(self.data(item)))

    def decoded(self, item: Item) -> AudioSegment:
        """An item's sound. Raises DamagedClip, or AudioError with the item's address."""
        return self._decoded.once(self.digest(item), lambda: self._decode(item))

    def asset(self, path: Path) -> AudioSegment:
        """The sound of an audio file of the project. Raises AudioError."""
        return self._decoded.once(self.asset_digest(path), lambda: self._decoded_file(path))

    def _decoded_file(self, path: Path) -> AudioSegment:
        return decode_file(path, self._file_bytes(path), wide=self.wide)

    def _file_bytes(self, path: Path) -> bytes:
        """Of a file of the project, which is still what it was when the build began. Raises AudioError."""
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.asset_digest(path):
            raise AudioError(f"{path.name} has changed since the build began; build again")
        return data

    def check_since(self, item: Item, right: float) -> bool:
        """Read a clip again that was written since its unit was known to be right (Unix seconds); whether it was.

        Raises DamagedClip.
        """
        clip = self.file(item)
        if clip is None:
            return False
        try:
            is_older = clip.path.stat().st_mtime < right
        except OSError:
            is_older = False
        if not is_older:
            self._whole(item, clip)
        return not is_older

    def _decode(self, item: Item) -> AudioSegment:
        try:
            clip = self.file(item)
            if clip is not None:
                return self._sound(item, clip, self.data(item))
            if item.asset is None:
                raise AudioError("a pause has no sound")
            return self._decoded_file(item.asset)
        except DamagedClip:
            raise
        except (FishpipeError, OSError) as error:
            raise AudioError(f"{item.address} ({item.span}): {error}") from error

    def _sound(self, item: Item, clip: ClipFile, data: bytes) -> AudioSegment:
        """A clip's sound; one that its name vouches for and that is none is as good as damaged."""
        try:
            return decode_clip(data, clip.format, clip.sample_rate, wide=self.wide)
        except AudioError as error:
            raise self._damaged(item, clip, f"is no sound: {error}") from error

    def _whole(self, item: Item, clip: ClipFile) -> bytes:
        """A clip's bytes, which are those of its digest. Raises DamagedClip, also for one that is gone."""
        try:
            data = clip.path.read_bytes()
        except FileNotFoundError as error:
            raise DamagedClip(f"{item.address} ({item.span}): its clip {clip.path} is gone", str(item.clip)) from error
        if hashlib.sha256(data).hexdigest() != clip.digest:
            raise self._damaged(item, clip, "was damaged")
        return data

    def _damaged(self, item: Item, clip: ClipFile, what: str) -> DamagedClip:
        """The error of a clip that cannot be used; its file is put aside."""
        if self._puts_aside:
            with suppress(OSError):
                clip.path.replace(clip.path.with_suffix(".damaged"))
        return DamagedClip(f"{item.address} ({item.span}): its clip {clip.path} {what}", str(item.clip))
