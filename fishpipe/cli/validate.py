"""fishpipe validate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from fishpipe.cli.common import Arguments, common, err, open_project, options, out
from fishpipe.errors import FishpipeError, ManifestError

if TYPE_CHECKING:
    from fishpipe.manifest.model import Manifest

_CONFIRMED_BYTES: Final = 500_000


@options(
    click.option(
        "--format", "style", type=click.Choice(["text", "json", "github"]), default="text",
        help="text, json, or github (annotates a pull request).",
    ),
)  # fmt: skip
def validate(arguments: Arguments, style: str) -> int:
    r"""Check the manifest; list all problems at once.

    \b
      fishpipe validate
      fishpipe validate show.yaml --format github
    """
    style = "json" if arguments.json else style
    try:
        manifest = open_project(arguments, warn=style == "text").manifest
    except ManifestError as error:
        from fishpipe.report.problems import problems_github, problems_json, problems_text

        if style == "text":
            err(problems_text(error.problems, error.sources))
        else:
            out(problems_json(error.problems) if style == "json" else problems_github(error.problems))
        return error.exit_code
    _confirm(manifest)
    segments = sum(len(script.segments) for script in manifest.scripts.values())
    if style != "text":
        from fishpipe.report.problems import problems_github, problems_json

        told = (problems_json if style == "json" else problems_github)((), manifest.warnings)
        if told:
            out(told)
    elif not arguments.quiet:
        from fishpipe.report.prose import count

        voices = len(manifest.voices)
        parts = (count(len(manifest.scripts), "script"), count(segments, "segment"), count(voices, "voice"))
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
