"""What a complaint about a value says: what was expected, what was found, and the cure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from fishpipe.errors import did_you_mean
from fishpipe.manifest import nodes
from fishpipe.manifest.conform import conforms
from fishpipe.manifest.definitions import definition, resolve
from fishpipe.manifest.nodes import Listing, Scalar, to_data
from fishpipe.manifest.nodes import resolve as read

if TYPE_CHECKING:
    from fishpipe.manifest.conform import Schema
    from fishpipe.manifest.nodes import Node

EXPECTED: Final = {
    "clips": "a path with {id} or {number} in its last part, that ends in .mp3, .wav, .flac, .opus, .m4a or .m4b",
    "bitrate": "16k to 320k, such as 128k",
    "duration": "a length of time with its unit, such as 300ms, 1.5s or 2m",
    "id": "letters, digits, _ and -",
    "language": "a language tag such as en or pt-BR",
    "tag": "a language tag such as en or pt-BR",
    "variable": "letters, digits and _",
    "cast_name": "a name without colons, brackets and quotes",
    "voice_key": "a name without spaces, slashes, colons, quotes and brackets",
    "role": "the name of a voice, or a map with voice:",
    "characters": "a number of characters from 50 to 10000",
    "shown": "text",
    "words": "words",
    "price": "an amount in USD, or unknown",
    "sample_sha256": "64 hexadecimal digits: sha256sum SAMPLE",
    "callback_listen": "HOST:PORT, such as 127.0.0.1:8787",
    "line": "text",
    "name": "a name without spaces, slashes, colons, quotes and brackets",
    "output_path": "a path that ends in .mp3, .wav, .flac, .opus, .m4a or .m4b",
    "text": "words",
    "trim": "auto, off, or a level from -90 to -10 (dBFS)",
    "loudness": "LUFS from -40 to -5 such as -16, or podcast, spotify, ebu, acx",
    "url": "an address that begins with http:// or https://",
    "usd": "an amount in USD, such as 2.50",
}
_LABELLED: Final = {"bitrate", "clips", "loudness", "trim", "id", "language", "sample_sha256", "callback_listen"}
_NUMBER: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


def mismatch(node: Node, schema: Schema, name: str, path: tuple[str, ...]) -> tuple[str, str]:
    """The message and the cure for a value that is not what the schema asks for."""
    label = next((part for part in reversed(path) if not part.startswith("[")), "the manifest")
    if path and path[-1].startswith("["):
        label = dotted(path)
    expected = _expected(schema, name, label)
    match node:
        case Listing() | nodes.Mapping() if label == "dialogue":
            kind = "list" if isinstance(node, Listing) else "map"
            return f"dialogue is a {kind}; expected lines of text", "write dialogue: |, and the lines below it"
        case Listing() if label == "text" and len(node.items) == 1:
            words = " ".join(str(to_data(item)) for item in node.items)
            return 'text begins with "[": YAML reads a list', f'Quote it: text: "[{words[:60]}]"'
        case Listing():
            return f"{label} is a list; expected {expected}", ""
        case nodes.Mapping():
            return f"{label} is a map; expected {expected}", ""
        case Scalar():
            pass
    if node.value is None:
        return f"{label} is empty; expected {expected}", ""
    if name == "duration" and _NUMBER.fullmatch(node.raw):
        return f"{label} {node.raw} has no unit", f"write {node.raw}ms or {node.raw}s"
    found = json.dumps(node.raw[:60], ensure_ascii=False) if isinstance(node.value, str) else node.raw[:60]
    return f"{label} is {found}; expected {expected}", value_hint(node, schema, path)


def _expected(schema: Schema, name: str, label: str) -> str:
    if label in _LABELLED and ("pattern" in schema or "enum" in schema):
        return EXPECTED[label]
    if name in EXPECTED:
        return EXPECTED[name]
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " or ".join(str(option) for option in schema["enum"])
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches and "properties" not in schema:
        resolved = [resolve(branch, name) for branch in branches]
        named = [_expected(inner, key, "") for inner, key in resolved if key != "template"]
        return " or ".join(dict.fromkeys(named))
    kind = schema.get("type", "string")
    kind = kind if isinstance(kind, str) else "string"
    words = {
        "string": "text",
        "boolean": "true or false",
        "object": "a map",
        "array": "a list",
        "number": "a number",
        "integer": "a whole number",
    }[kind]
    if "minimum" in schema:
        words += f" from {schema['minimum']} to {schema['maximum']}"
    return words


def value_hint(node: Scalar, schema: Schema, path: tuple[str, ...]) -> str:
    """The cure for a scalar that is not what the schema asks for, where one can be told."""
    options = schema.get("enum", ())
    if path[-2:-1] == ("segments",) and isinstance(node.value, str):
        return f"write text: {json.dumps(node.raw[:60], ensure_ascii=False)}"
    if isinstance(node.value, str) and (node.raw in map(str, options) or conforms(read(node.raw), schema)):
        return "remove the quotes"
    if schema.get("type") == "boolean" and node.raw in ("yes", "no", "on", "off"):
        return f"write {'true' if node.raw in ('yes', 'on') else 'false'}"
    if isinstance(node.value, (int, float)) and conforms(node.raw, schema):
        return f'quote it: "{node.raw}"'
    words = [option for option in options if isinstance(option, str)]
    return did_you_mean(node.raw, words) if words else ""


def dotted(path: tuple[str, ...]) -> str:
    """A path as messages show it."""
    return ".".join(path).replace(".[", "[") or "the manifest"


def home(raw: str, schema: Schema) -> str:
    """Where a key that is unknown here belongs."""
    prosody = definition("prosody")["properties"]
    if raw in prosody and "prosody" in schema.get("properties", {}):
        return f"it goes into prosody: {{{raw}: …}}"
    if "defaults" in schema.get("properties", {}) and raw in definition("defaults")["properties"]:
        return f"it goes into defaults: {{{raw}: …}}"
    for group in ("segment", "voice"):
        kinds = [kind for kind, _ in (resolve(b, "") for b in definition(group)["oneOf"]) if "properties" in kind]
        homes = [kind["required"][0] for kind in kinds if raw in kind["properties"]]
        if schema in kinds and homes:
            return f"it goes with {' or '.join(homes)}"
    return ""
