"""fishpipe validate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from fishpipe.cli.common import (
    Arguments,
    common,
    each_manifest,
    err,
    from_start,
    open_project,
    options,
    out,
    tell_problems,
)
from fishpipe.errors import FishpipeError, ManifestError

if TYPE_CHECKING:
    from fishpipe.manifest.model import Manifest

_CONFIRMED_BYTES: Final = 500_000


@options(
    click.option(
        "--format", "style", type=click.Choice(["text", "json", "github", "sarif"]), default="text",
        help="text, json, github (annotates a pull request) or sarif (code scanning).",
    ),
)  # fmt: skip
def validate(arguments: Arguments, style: str) -> int:
    r"""Check the manifest; list all problems at once, and what may be meant and probably is not (fishpipe lint).

    \b
      fishpipe validate
      fishpipe validate show.yaml --format github
    """
    return max(_validate(one, style) for one in each_manifest(arguments))


validate.is_plain = True  # type: ignore[attr-defined]
validate.metavar = "[MANIFEST]..."  # type: ignore[attr-defined]


def _validate(arguments: Arguments, style: str) -> int:
    from fishpipe.manifest.lint import lint
    from fishpipe.report.problems import show_problems, warnings_text

    style = "json" if arguments.json else style
    try:
        manifest = open_project(arguments, warn=False).manifest
        warnings = from_start(style, [one.problem for one in lint(manifest)])
        if arguments.strict and warnings:
            raise ManifestError(warnings, manifest.texts)
    except ManifestError as error:
        return tell_problems(style, error)
    _confirm(manifest)
    segments = sum(len(script.segments) for script in manifest.scripts.values())
    if style != "text":
        if told := show_problems(style, (), warnings, {}):
            out(told)
    elif not arguments.quiet:
        from fishpipe.report.prose import count

        if warnings:
            err(warnings_text(warnings, manifest.texts))
        parts = [
            count(len(manifest.scripts), "script"),
            count(segments, "segment"),
            count(len(manifest.voices), "voice"),
        ]
        parts += [count(len(warnings), "warning")] if warnings else []
        out(f"{manifest.path}: valid. {', '.join(parts)}.")
    return 0


def _confirm(manifest: Manifest) -> None:
    """The schema that editors use must say the same as the loader; where it does not, that is our bug.

    It takes a minute for a hundred thousand segments, which no editor opens either: long manifests are not asked.
    """
    if manifest.path.stat().st_size > _CONFIRMED_BYTES:
        return
    from fishpipe.manifest.contract import disagreement

    found = disagreement(manifest.path)
    if found:
        raise FishpipeError(f"the schema refuses what the loader accepts; please report this: {found}")


command = common(validate)
