"""The loudness of an output: one gain for all and one a voice, solved through the limiter, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.audio.loudness import decibels, integrated, loudness_range, noise_floor, rms
from fishpipe.events import Sounding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fishpipe.audio.loudness import Profile
    from fishpipe.manifest.model import Loudness

# How near the target a gain is solved, and how far from it a pinned one may come to be; in LU (or dB).
SOLVED: Final = 0.05
KEPT: Final = 0.5
# How far apart a voice's gain may come to be from its pinned one; in dB.
_VOICE_KEPT: Final = 1.0
_MOST_GAIN: Final = 40.0
# What the limiter takes away may be made up for by so many dB: more would be heard as distortion.
_MOST_MORE: Final = 6.0
_MOST_STEPS: Final = 8
_MOST_VOICE: Final = 12.0
# How much a measured peak may be over: meters differ by that.
_PEAK_TOLERANCE: Final = 0.2
_NOTHING: Final = -120.0
_ACX_RMS: Final = (-23.0, -18.0)
_ACX_FLOOR: Final = -60.0


class Master(Struct, frozen=True, kw_only=True):
    """`gain` in dB for all, and for each of `voices` by name; true peaks stay under `ceiling` (dBFS)."""

    gain: float = 0.0
    voices: Mapping[str, float] = field(default_factory=dict)
    ceiling: float = 0.0

    @property
    def key(self) -> list[float]:
        """As part of the identity of what is made with it; the voices' gains are in their sounds'."""
        return [self.gain, self.ceiling]

    def pin(self, wanted: Loudness, target: float | None) -> dict[str, Any]:
        """As the lock keeps it, with what it was solved for, and by how much the ceiling was lowered for an encoder."""
        pin: dict[str, Any] = {}
        if target is not None:
            pin |= {"gain": self.gain, "target": target, "true_peak": wanted.true_peak}
        if lower := round(wanted.true_peak - self.ceiling, 2):
            pin["lower"] = lower
        return pin | ({"voices": dict(self.voices)} if wanted.by_voice else {})


def target_of(wanted: Loudness, channels: int) -> float | None:
    """What an output's loudness is to be: LUFS, or dB RMS where `wanted` is that; None where only voices are evened."""
    return wanted.mono if channels == 1 and wanted.mono is not None else wanted.target


def pinned_master(wanted: Loudness, pin: Mapping[str, Any], channels: int) -> Master | None:
    """The gains that the lock keeps, if they are for this loudness."""
    target = target_of(wanted, channels)
    if "gain" not in pin or pin.get("target") != target or pin.get("true_peak") != wanted.true_peak:
        return None
    voices = pin.get("voices") or {} if wanted.by_voice else {}
    ceiling = wanted.true_peak - float(pin.get("lower", 0.0))
    return Master(gain=float(pin["gain"]), voices=voices, ceiling=ceiling)


def measured(whole: Profile, wanted: Loudness, channels: int) -> float:
    """What the target is compared with."""
    return rms(whole, channels) if wanted.measure == "rms" else integrated(whole)


def solve(loudness: Callable[[float], float], target: float) -> float:
    """The gain in dB at which `loudness` of it is the target; the nearest, where the limiter leaves no more room."""
    start = loudness(0.0)
    if start == float("-inf"):
        return 0.0
    tried = [(0.0, start)]
    gain = target - start
    most = min(_MOST_GAIN, max(gain, 0.0) + _MOST_MORE)
    for _ in range(_MOST_STEPS):
        gain = round(max(-_MOST_GAIN, min(most, gain)), 2)
        tried.append((gain, loudness(gain)))
        miss = target - tried[-1][1]
        if abs(miss) <= SOLVED or (gain >= round(most, 2) and miss > 0):
            break
        (before, was), (now, found) = tried[-2:]
        slope = (found - was) / (now - before) if now != before else 1.0
        if slope < 0.1:
            break
        gain = now + miss / min(slope, 1.0)
    return min(tried, key=lambda each: (abs(target - each[1]), abs(each[0])))[0]


def voice_gains(
    levels: Mapping[str, float], common: float, pinned: Mapping[str, float], *, is_pinned: bool = False
) -> dict[str, float]:
    """The gain in dB that brings each voice (LUFS by name) to the common loudness.

    A pinned one that is near stays, or any that `is_pinned`.
    """
    gains = {}
    for name, level in levels.items():
        wanted = 0.0 if level == float("-inf") else max(-_MOST_VOICE, min(_MOST_VOICE, round(common - level, 1)))
        near = name in pinned and (is_pinned or abs(pinned[name] - wanted) <= _VOICE_KEPT)
        gains[name] = float(pinned[name]) if near else wanted
    return gains


def sounding(whole: Profile, wanted: Loudness, channels: int, *, has_tone: bool) -> Sounding:
    """How an output came out, and which of its targets it missed, and why."""
    found = Sounding(
        lufs=round(max(integrated(whole), _NOTHING), 2),
        lra=round(loudness_range(whole), 2),
        true_peak=round(decibels(whole.highest), 2),
        rms=round(rms(whole, channels), 2),
        floor=round(noise_floor(whole, channels), 2),
        measure=wanted.measure,
    )
    return replace(found, missed=tuple(_misses(found, whole, wanted, channels, has_tone=has_tone)))


def _misses(found: Sounding, whole: Profile, wanted: Loudness, channels: int, *, has_tone: bool) -> list[str]:
    target, unit = target_of(wanted, channels), "dB RMS" if wanted.measure == "rms" else "LUFS"
    misses = []
    level = measured(whole, wanted, channels)
    if level == float("-inf"):
        return ["it is silent throughout"]
    if target is not None and wanted.preset != "acx" and abs(level - target) > KEPT:
        why = (
            f"its peaks leave no more room under {wanted.true_peak:g} dB"
            if level < target
            else "it is louder by itself"
        )
        misses.append(f"{level:.1f} {unit}, not {target:g}: {why}")
    if found.true_peak > wanted.true_peak + _PEAK_TOLERANCE:
        why = "the encoder adds to them"
        misses.append(f"true peaks of {found.true_peak:.1f} dB, over {wanted.true_peak:g}: {why}")
    if wanted.preset == "acx":
        misses += _acx(found, has_tone=has_tone)
    return misses


def _acx(found: Sounding, *, has_tone: bool) -> list[str]:
    low, high = _ACX_RMS
    misses = []
    if not low <= found.rms <= high:
        misses.append(f"ACX wants {low:g} to {high:g} dB RMS, it is {found.rms:.1f}")
    if found.floor > _ACX_FLOOR:
        cure = "a quieter room_tone, or a cleaner voice" if has_tone else "a cleaner voice"
        misses.append(f"ACX wants a noise floor of {_ACX_FLOOR:g} dB, it is {found.floor:.1f}: use {cure}")
    if not has_tone:
        misses.append("ACX wants room tone at both ends, it is digital silence: set room_tone on the script")
    return misses
