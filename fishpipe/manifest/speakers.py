"""Who speaks: the voices that a manifest declares, and who of them a text is given to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fishpipe.errors import Span, did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.cascade import Layer
from fishpipe.manifest.definitions import main_language
from fishpipe.manifest.model import CreatedVoice, ExistingVoice, OneShotVoice, Reference, Voice
from fishpipe.manifest.nodes import Listing, Scalar, to_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fishpipe.manifest.cascade import Say

_MODEL_ONLY: Final = ("texts", "tags", "visibility", "cover_image", "enhance_audio_quality", "generate_sample")


class Speakers:
    """The declared voices, each with its level of the cascade; `all_known` is False where a file is missing."""

    def __init__(self, section: nodes.Node | None, say: Say, *, consent: bool) -> None:
        self._say, self._consent = say, consent
        self.all_known = True
        self.cast: frozenset[str] = frozenset()
        self.voices: dict[str, Voice] = {}
        self.layers: dict[str, Layer] = {}
        self.names = [raw for raw, _, _ in section] if isinstance(section, nodes.Mapping) else []
        self.variants: dict[str, dict[str, str]] = {}
        for name, key, node in section if isinstance(section, nodes.Mapping) else ():
            if isinstance(node, nodes.Mapping):
                self._take(name, key.span, node)
                self._take_variants(name, node)

    def _take(self, name: str, span: Span, node: nodes.Mapping) -> None:
        # A voice's own references are what it is; they say nothing about who speaks.
        self.layers[name] = Layer.of(node.without("references"), self._say)
        voice = self._declared(name, span, node.without("languages"))
        if voice is not None:
            self.voices[name] = voice
        if self._consent and node.entries and node.get("consent") is None:
            message = f'voice "{name}" has no consent, and project.require_consent is true'
            self._say(span, message, "add consent:")

    def _take_variants(self, name: str, node: nodes.Mapping) -> None:
        """The voices of one name in other languages: NAME.de, with the settings that the name has."""
        section = node.get("languages")
        self.variants[name] = {}
        for language, key, own in section if isinstance(section, nodes.Mapping) else ():
            if isinstance(own, nodes.Mapping) and own.entries:
                variant = f"{name}.{language}"
                self._take(variant, key.span, own)
                self.layers[variant] = self.layers[variant].over(self.layers[name])
                self.variants[name][language.casefold()] = variant

    def _declared(self, name: str, span: Span, node: nodes.Mapping) -> Voice | None:
        data = to_data(node)
        if "sample_url" in data:
            self._check_creation(node, data)
            return _created(name, span, data, {raw: value.span for raw, _, value in node})
        if "id" in data:
            return ExistingVoice(name=name, span=span, id=data["id"], consent=data.get("consent"))
        references = _references(data.get("references"))
        if not references:
            return None
        return OneShotVoice(name=name, span=span, references=references, consent=data.get("consent"))

    def _check_creation(self, node: nodes.Mapping, data: Mapping[str, Any]) -> None:
        if data.get("create", "voices") == "model":
            if (key := _key(node, "image_urls")) is not None:
                self._say(key, "image_urls goes with create: voices", "write cover_image:")
            return
        for name in _MODEL_ONLY:
            if (key := _key(node, name)) is not None:
                self._say(key, f"{name} goes with create: model", "add create: model")

    def check(self, layer: Layer) -> None:
        """Report voices that a level names and nobody declares, and those that nobody can have agreed to."""
        if layer.speaker is None:
            return
        if self._consent and layer.speaker[0] != "voice":
            message = f"{layer.speaker[0]} says nothing of consent, and project.require_consent is true"
            self._say(layer.speaker[1].span, message, "declare it under voices, with consent:")
        if layer.speaker[0] != "voice" or not self.all_known:
            return
        for node in _items(layer.speaker[1]):
            name = str(node.value)
            if name not in self.names:
                near = did_you_mean(name, self.names)
                place = next((f" ({voice.span})" for voice in self.voices.values() if f'"{voice.name}"' in near), "")
                role = f"it is in the cast: write - {name}: WORDS" if name in self.cast else ""
                hint = role or near.replace("?", f"{place}?") or "declare it under voices"
                self._say(node.span, f'no voice "{name}"', hint)

    def of(self, layers: Sequence[Layer], at: Span, language: str = "") -> tuple[tuple[Voice, ...], Layer]:
        """Who speaks by the strongest level that says so, and the first voice's level of the cascade.

        That level is mute where it cannot be told. A voice that has another for the `language` is that one.
        """
        for layer in layers:
            if layer.mute:
                return (), layer
            if layer.speaker is not None:
                return self._chosen(*layer.speaker, language)
        if self.names:
            hint = "set voice here, or defaults: {voice: " + self.names[0] + "}"
            self._say(at, "this text has no voice", hint)
        return (), Layer()

    def _variant(self, name: str, language: str) -> str:
        variants = self.variants.get(name, {})
        return variants.get(language.casefold()) or variants.get(main_language(language)) or name

    def _chosen(self, kind: str, node: nodes.Node, language: str) -> tuple[tuple[Voice, ...], Layer]:
        if kind == "references":
            references = _references(to_data(node))
            return ((OneShotVoice(name=kind, span=node.span, references=references),) if references else ()), Layer()
        items = _items(node)
        if kind == "reference_id":
            ids = ((str(item.value), item.span) for item in items)
            return tuple(ExistingVoice(name=name, span=span, id=name) for name, span in ids), Layer()
        names = [self._variant(str(item.value), language) for item in items]
        voices = tuple(self.voices[name] for name in names if name in self.voices)
        if len(voices) < len(names):
            return (), Layer(mute=True)
        for item, name in zip(items, names, strict=True) if len(items) > 1 else ():
            if isinstance(self.voices.get(name), OneShotVoice):
                message = f'voice "{item.value}" is made of references, and cannot be one of several'
                self._say(item.span, message, "give it a sample_url or an id")
        return voices, self.layers.get(names[0] if names else "", Layer())


def _created(name: str, span: Span, data: Mapping[str, Any], places: Mapping[str, Span]) -> CreatedVoice:
    texts = data.get("texts", ())
    pin = data.get("sample_sha256")
    return CreatedVoice(
        name=name,
        span=span,
        sample_url=data["sample_url"],
        sample_sha256=pin.lower() if pin else None,
        revision=data.get("revision", 1),
        create=data.get("create", "voices"),
        title=data.get("title", name),
        description=data.get("description"),
        image_urls=tuple(data.get("image_urls", ())),
        consent=data.get("consent"),
        texts=(texts,) if isinstance(texts, str) else tuple(texts),
        tags=tuple(data.get("tags", ())),
        visibility=data.get("visibility", "private"),
        cover_image=data.get("cover_image"),
        enhance_audio_quality=data.get("enhance_audio_quality"),
        generate_sample=data.get("generate_sample"),
        places=places,
    )


def _references(data: object) -> tuple[Reference, ...]:
    pairs = [item for item in data if item.keys() >= {"audio", "text"}] if isinstance(data, list) else []
    return tuple(Reference(audio=item["audio"], text=str(item["text"])) for item in pairs)


def _items(node: nodes.Node) -> list[Scalar]:
    found: Iterable[nodes.Node] = node.items if isinstance(node, Listing) else (node,)
    return [item for item in found if isinstance(item, Scalar)]


def _key(node: nodes.Mapping, name: str) -> Span | None:
    return next((key.span for raw, key, _ in node if raw == name), None)
