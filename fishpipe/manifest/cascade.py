"""The cascade of settings: what each level says, and what comes of it.

Strongest first: segment, script `defaults`, voice, manifest `defaults`, the built-in ones. `prosody` and
`extra_body` merge key by key.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from fishpipe.errors import Span
from fishpipe.manifest import nodes
from fishpipe.manifest.model import Edits, Micros, Settings
from fishpipe.manifest.nodes import Scalar, to_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Say = Callable[[Span, str, str], None]

_UNITS: Final = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000}
_LONGEST: Final = 24 * 3600 * 1_000_000
_SPREAD: Final = ("speed", "volume")
SETTINGS: Final = tuple(name for name in Settings.__struct_fields__ if name not in (*_SPREAD, "extra_body"))
EDITS: Final = Edits.__struct_fields__
_TIMES: Final = ("gap", "fade_in", "fade_out", "crossfade", "overlap")
_LONG: Final = ("max_chars", "sentence_gap")
MAX_CHARS: Final = 500
SENTENCE_GAP: Final = Micros(200_000)
_TTS_ONLY: Final = frozenset({*SETTINGS, *_SPREAD}) - {"api"}
_SCALARS: Final = frozenset({*SETTINGS, *EDITS, *_LONG})
_SPEAKERS: Final = ("voice", "reference_id", "references")
# What fishpipe writes into a request itself, and extra_body cannot.
_OURS: Final = {
    **{name: f"set it with {name}:" for name in (*SETTINGS, *_SPEAKERS, "prosody", "text")},
    **{name: f"set it with prosody: {{{name}: …}}" for name in _SPREAD},
    **dict.fromkeys(("callback_url", "async"), "it follows from provider: {delivery: …}"),
    **dict.fromkeys(("prompt", "action", "voice_id"), "it follows from api: audios"),
}
_LARGEST_INT: Final = 2**53 - 1
Found = tuple[Any, Span]


class Layer(Struct, frozen=True, gc=False):
    """One level of the cascade: each value with its place, and who speaks by `speaker` (its key, its node).

    `mute` says that the level names a speaker wrongly: nobody else is to speak in its place.
    """

    values: Mapping[str, Found] = field(default_factory=dict)
    extra: Mapping[str, Found] = field(default_factory=dict)
    speaker: tuple[str, nodes.Node] | None = None
    mute: bool = False

    @classmethod
    def of(cls, node: nodes.Node | None, say: Say) -> Layer:
        """What a map says; problems that only the level as a whole shows are told."""
        if not isinstance(node, nodes.Mapping):
            return cls()
        values: dict[str, Found] = {}
        extra: dict[str, Found] = {}
        speakers: list[tuple[str, nodes.Node]] = []
        for raw, key, value in node:
            if raw == "prosody" and isinstance(value, nodes.Mapping):
                values |= {name: (to_data(item), item.span) for name, _, item in value}
            elif raw == "extra_body" and isinstance(value, nodes.Mapping):
                extra = _extra(value, say)
            elif raw in _SPEAKERS:
                speakers.append((raw, value))
                if len(speakers) > 1:
                    say(key.span, f'both "{speakers[0][0]}" and "{raw}" say who speaks', "keep one of them")
            elif isinstance(value, Scalar) and raw in _SCALARS:
                values[raw] = (value.value, value.span)
            elif raw == "max_chars":
                values[raw] = (to_data(value), value.span)
        return cls(values, extra, speakers[0] if speakers else None, bool(node.dropped.intersection(_SPEAKERS)))

    def over(self, weaker: Layer) -> Layer:
        """The same level, with what another says where it is silent."""
        return replace(self, values={**weaker.values, **self.values}, extra={**weaker.extra, **self.extra})

    def without(self, name: str) -> Layer:
        """The same level, silent about one setting."""
        return replace(self, values={key: found for key, found in self.values.items() if key != name})


def _extra(node: nodes.Mapping, say: Say) -> dict[str, Found]:
    found: dict[str, Found] = {}
    for raw, key, value in node:
        if raw in _OURS:
            say(key.span, f'extra_body has "{raw}", which fishpipe writes itself', _OURS[raw])
        else:
            plain = _plain(to_data(value))
            if plain is None and not (isinstance(value, Scalar) and value.value is None):
                say(value.span, f"extra_body.{raw} has a number that JSON cannot carry exactly", "write it as text")
            found[raw] = (plain, key.span)
    return found


def _plain(data: Any) -> Any:  # noqa: ANN401
    """Data as JSON carries it: numbers without their spelling; None where one is too large."""
    if isinstance(data, dict):
        inner = {str(name): _plain(value) for name, value in data.items()}
        return None if any(inner[str(n)] is None and v is not None for n, v in data.items()) else inner
    if isinstance(data, list):
        items = [_plain(value) for value in data]
        return None if any(a is None and b is not None for a, b in zip(items, data, strict=True)) else items
    if isinstance(data, int) and not isinstance(data, bool):
        return int(data) if abs(data) <= _LARGEST_INT else None
    return float(data) if isinstance(data, float) else data


def settings(layers: Sequence[Layer], at: Span, say: Say, *, takes_audios: bool) -> tuple[Settings, dict[str, Span]]:
    """What is asked of the service, and where each setting was made; `at` is the text's place.

    `takes_audios` says whether the voice is one that `api: audios` can speak with.
    """
    found: dict[str, tuple[Any, Span, int]] = {}
    extra: dict[str, Found] = {}
    for level, layer in enumerate(layers):
        extra = {**layer.extra, **extra}
        for name, (value, span) in layer.values.items():
            if name in SETTINGS or name in _SPREAD:
                found.setdefault(name, (value, span, level))
    made = Settings(
        **{name: value for name, (value, _, _) in found.items()},
        extra_body={name: value for name, (value, _) in extra.items()},
    )
    if made.api == "audios":
        _check_audios(found, at, say, takes_audios=takes_audios)
    elif made.format != "mp3" and found.get("mp3_bitrate", (0, at, len(layers)))[2] <= found["format"][2]:
        span = found["mp3_bitrate"][1]
        say(span, f"mp3_bitrate goes with format: mp3; the format here is {made.format}", "remove one")
    return made, {name: span for name, (_, span, _) in found.items()} | {
        name: span for name, (_, span) in extra.items()
    }


def _check_audios(found: Mapping[str, tuple[Any, Span, int]], at: Span, say: Say, *, takes_audios: bool) -> None:
    level = found["api"][2]
    for name in sorted(_TTS_ONLY & found.keys()):
        if found[name][2] <= level:
            say(found[name][1], f"{name} does not go with api: audios, which takes a text and a voice only", "")
    if not takes_audios:
        say(at, "api: audios needs one voice, with a sample_url or an id", "")


def edits(layers: Sequence[Layer], builtin: Edits, say: Say) -> Edits:
    """What happens to the sound on its way into an output."""
    found: dict[str, Any] = {}
    for layer in layers:
        for name, (value, span) in layer.values.items():
            if name in EDITS and name not in found:
                found[name] = micros(Scalar(span, value, str(value)), say) if name in _TIMES else value
    return replace(builtin, **found)


def longest(layers: Sequence[Layer], model: str) -> int:
    """How many characters one call speaks at the most."""
    for layer in layers:
        limit = layer.values.get("max_chars", (None,))[0]
        limit = limit.get(model) if isinstance(limit, dict) else limit
        if limit is not None:
            return int(limit)
    return MAX_CHARS


def sentence_gap(layers: Sequence[Layer], say: Say) -> Micros:
    """The silence between the pieces of a long text."""
    found = next((layer.values["sentence_gap"] for layer in layers if "sentence_gap" in layer.values), None)
    return micros(Scalar(found[1], found[0], str(found[0])), say) if found else SENTENCE_GAP


def micros(node: nodes.Node | None, say: Say) -> Micros:
    """A duration in microseconds; 0 where there is none."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return Micros(0)
    digits = node.value.rstrip("ms")
    length = int(Decimal(digits) * _UNITS[node.value[len(digits) :]])
    if length > _LONGEST:
        say(node.span, f"{node.value} is longer than a day", "")
        return Micros(0)
    return Micros(length)
