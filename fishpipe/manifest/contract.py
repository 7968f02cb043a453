"""The published JSON Schema as editors apply it, by the jsonschema library: a second opinion on the loader's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from fishpipe.manifest import source
from fishpipe.manifest.definitions import load_schema
from fishpipe.manifest.nodes import to_data

if TYPE_CHECKING:
    from pathlib import Path


def disagreement(path: Path) -> str | None:
    """What the schema finds wrong with the manifest, or None; a file with YAML errors is not judged."""
    text, problems = source.decode(path.read_bytes(), str(path))
    node, more = source.parse(text, str(path))
    if node is None or problems or more:
        return None
    error = best_match(Draft7Validator(load_schema()).iter_errors(to_data(node)))
    return f"{error.json_path}: {error.message}" if error else None
