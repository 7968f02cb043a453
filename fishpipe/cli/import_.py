"""fishpipe import."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from msgspec.structs import replace

from fishpipe.cli.common import err
from fishpipe.cli.init import write_new
from fishpipe.importing.read import KINDS, read_draft

if TYPE_CHECKING:
    from fishpipe.importing.draft import Draft
    from fishpipe.importing.read import Kind


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--as", "kind", type=click.Choice(KINDS), help="What the file is, where its suffix does not say.")
def command(file: Path, folder: Path | None, kind: str | None) -> int:
    r"""Make a project of a text: Markdown, EPUB, a play or screenplay, subtitles, plain text, JSON. Overwrites nothing.

    \b
      fishpipe import book.epub                a folder of its own, a file a chapter
      fishpipe import scene.fountain my-play   with a cast to fill in
      fishpipe import talk.srt                 with the gaps of the subtitles
    """
    from fishpipe.importing.draft import slug
    from fishpipe.importing.writer import files_of

    draft = read_draft(file, cast("Kind | None", kind))
    folder = folder or Path(slug(file.stem))
    draft = _in_place(draft, file, folder)
    files = files_of(draft)
    write_new(folder, files)
    where = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    speakers = len(draft.speakers)
    cast_ = f"give the {speakers} of the cast their voices, then " if speakers > 1 else ""
    err(f"next: {cast_}{where}fishpipe plan && fishpipe build")
    return 0


def _in_place(draft: Draft, file: Path, folder: Path) -> Draft:
    """Markdown that lies in the project is read where it is."""
    inside = file.resolve().is_relative_to(folder.resolve())
    if not inside or file.suffix.lower() not in (".md", ".markdown"):
        return draft
    return replace(draft, chapters=(), file=Path(os.path.relpath(file, folder)).as_posix())
