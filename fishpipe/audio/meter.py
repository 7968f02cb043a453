"""Where the sound of each item begins and ends, and how its file is built: measured once, and remembered by digest."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fishpipe.audio.copying import Shell, cut_of_ends, shell_of
from fishpipe.audio.edit import Cut, find_cut
from fishpipe.errors import AudioError
from fishpipe.recipes import encoded_because

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fishpipe.audio.sounds import Sounds
    from fishpipe.graph.steps import Item


class Meter:
    """Measures items, from several threads. `recall` gives what was remembered, `fresh` is what is new.

    With `copies` sounds that need no edit have a shell.
    """

    def __init__(
        self, items: Sequence[Item], sounds: Sounds, recall: Callable[[str], str | None], *, copies: bool
    ) -> None:
        self._items, self._sounds = items, sounds
        self._lock = threading.Lock()
        self._cut_keys = [None if item.is_pause else cut_key(item, sounds) for item in items]
        self._shell_keys = [self._shell_key(number) if copies else None for number in range(len(items))]
        keys = {key for key in (*self._cut_keys, *self._shell_keys) if key is not None}
        self._known = {key: found for key in keys if (found := recall(key)) and _is_readable(key, found)}
        self.fresh: dict[str, str] = {}

    def known(self, number: int) -> tuple[Cut | None, Shell | None] | None:
        """What `measured` gives, where nothing is to be measured for it."""
        keys = (self._cut_keys[number], self._shell_keys[number])
        return self.measured(number) if all(key is None or key in self._known for key in keys) else None

    def taken(self) -> dict[str, str]:
        """What is new, to be remembered; it is new no more."""
        with self._lock:
            taken, self.fresh = self.fresh, {}
        return taken

    def measured(self, number: int) -> tuple[Cut | None, Shell | None]:
        """The cut of an item (None for a pause), and its shell if it may be copied. Raises as `Sounds.decoded`."""
        key = self._cut_keys[number]
        if key is None:
            return None, None
        shell = self._shell(number)
        return Cut.from_json(self._known.get(key) or self._keep(key, self._cut(number, shell).to_json())), shell

    def _shell(self, number: int) -> Shell | None:
        key, item = self._shell_keys[number], self._items[number]
        if key is None:
            return None
        known = self._known.get(key)
        if known is None:
            data = self._sounds.data(item)
            try:
                known = self._keep(key, shell_of(data, self._sounds.starts(item)).to_json())
            except AudioError as error:
                raise AudioError(f"{item.address} ({item.span}): {error}") from error
        shell = Shell.from_json(known)
        return shell if shell.is_alone else None

    def _cut(self, number: int, shell: Shell | None) -> Cut:
        item = self._items[number]
        found = None
        if shell is not None:
            found = cut_of_ends(self._sounds.data(item), shell, self._sounds.starts(item), item.edits.trim)
        return found or find_cut(self._sounds.decoded(item), item.edits.trim, item.start, item.end)

    def _shell_key(self, number: int) -> str | None:
        item = self._items[number]
        if item.is_pause or encoded_because(self._items, number, self._sounds.kind(item)):
            return None
        return f"{self._sounds.digest(item)} shell"

    def _keep(self, key: str, found: str) -> str:
        with self._lock:
            self._known[key] = self.fresh[key] = found
        return found


def _is_readable(key: str, found: str) -> bool:
    """Whether what was remembered is whole; what is not is measured again."""
    try:
        (Shell if key.endswith(" shell") else Cut).from_json(found)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False
    return True


def cut_key(item: Item, sounds: Sounds) -> str:
    """By which an item's cut is remembered."""
    return f"{sounds.digest(item)} {item.start} {item.end} {item.edits.trim}"
