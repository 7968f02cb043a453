"""How the sandbox misbehaves on purpose."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

Fault = Literal["500", "503", "429", "502", "html", "drop", "truncate", "half"]

# 500, 503 and 429 come before the call is billed; 502, html, drop and truncate after it (the caller is in doubt);
# half sends half of an audio file.
Mishap = Literal["late", "twice", "never", "reorder", "malformed"]
MISHAPS: Final[tuple[Mishap, ...]] = ("late", "twice", "never", "reorder", "malformed")
FAULTS: Final[tuple[Fault, ...]] = ("500", "503", "429", "502", "html", "drop", "truncate", "half")
UNBILLED: Final = ("500", "503", "429")


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Times in seconds; `rate_limit` in calls at once; the rates are shares of requests and callbacks, by `seed`.

    `renew_links` gives a task that is asked for after its link has died another one.
    """

    latency: float = 0.0
    rate_limit: int | None = None
    fault_rate: float = 0.0
    faults: tuple[Fault, ...] = FAULTS
    mishap_rate: float = 0.0
    mishaps: tuple[Mishap, ...] = MISHAPS
    seed: int = 0
    training_time: float = 0.0
    link_ttl: float = 3600.0
    renew_links: bool = False
    strict_ids: bool = False
    token: str | None = None
    failing_samples: str | None = None
    any_callback: bool = False


class Dice:
    """Which fault, if any, befalls the next request."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._random = random.Random(switches.seed)  # noqa: S311  (a repeatable test, not a secret)

    def roll(self, *, download: bool = False) -> Fault | None:
        """A fault for a paid request, or for a download."""
        if self._random.random() >= self._switches.fault_rate:
            return None
        kinds = [kind for kind in self._switches.faults if (kind == "half") == download]
        return self._random.choice(kinds) if kinds else None

    def mishap(self) -> Mishap | None:
        """What befalls the next callback."""
        if self._random.random() >= self._switches.mishap_rate:
            return None
        return self._random.choice(self._switches.mishaps)
