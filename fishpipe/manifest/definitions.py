"""The manifest's JSON Schema (draft-07), as data."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fishpipe.manifest.conform import Schema


def schema_path() -> Path:
    """The schema file: beside this package in a checkout, inside of it in a wheel."""
    packaged = Path(__file__).parents[1] / "schemas" / "fishpipe.schema.json"
    return packaged if packaged.exists() else Path(__file__).parents[2] / "schemas" / "fishpipe.schema.json"


@cache
def load_schema() -> Schema:
    """The whole schema."""
    schema: Schema = json.loads(schema_path().read_text(encoding="utf-8"))
    return schema


def definition(name: str) -> Schema:
    """What the schema says of one thing."""
    found: Schema = load_schema()["definitions"][name]
    return found


def resolve(schema: Schema, name: str) -> tuple[Schema, str]:
    """(schema, its name) behind any references; `name` where there are none."""
    while "$ref" in schema:
        name = schema["$ref"].removeprefix("#/definitions/")
        schema = definition(name)
    return schema, name


@cache
def segment_fields() -> frozenset[str]:
    """The names of all fields that a segment of some kind can have: no voice is called so."""
    kinds = [resolve(branch, "")[0] for branch in definition("segment")["oneOf"]]
    return frozenset(name for kind in kinds for name in kind.get("properties", {}))


def main_language(tag: str) -> str:
    """The language of a tag, without its country: pt of pt-BR."""
    return tag.partition("-")[0].casefold()


def is_pattern(name: str) -> bool:
    """Whether a name stands for all that are called like it: ch-*."""
    return "*" in name or "?" in name


def is_variable(name: str) -> bool:
    """Whether a variable can have this name."""
    return re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) is not None
