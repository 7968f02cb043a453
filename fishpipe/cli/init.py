"""fishpipe init."""

from __future__ import annotations

import os
import shlex
import shutil
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fishpipe.cli.common import err, is_terminal, out
from fishpipe.errors import UsageError
from fishpipe.store.durable import write_whole
from fishpipe.store.lockfile import add_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SCHEMA: Final = "schemas/fishpipe.schema.json"
_STORE: Final = (
    "# The clips are committed with the project: what was paid for once is never paid for again.\nstore: clips\n"
)


def _asked() -> str:
    """A person is asked; unattended, clips stay on this machine."""
    question = "Commit the clips to git, so that every clone builds the same bytes and pays nothing?"
    return "commit" if is_terminal() and click.confirm(question, err=True) else "local"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--clips",
    type=click.Choice(["local", "commit", "lfs"]),
    help="Where the clips live: on this machine alone, or committed to git, plainly or by git-lfs.",
)
def command(folder: Path, clips: str | None) -> int:
    r"""Make a new project in FOLDER (default: here), ready to build in the sandbox. Overwrites nothing.

    \b
      fishpipe init my-show && cd my-show && fishpipe build
      fishpipe init my-show --clips commit      every clone rebuilds the same bytes, and pays nothing
    """
    templates = files("fishpipe") / "templates"
    texts = {"fishpipe.yaml": (templates / "fishpipe.yaml").read_text(encoding="utf-8")}
    clips = clips or _asked()
    if clips != "local":
        manifest = texts["fishpipe.yaml"]
        texts["fishpipe.yaml"] = manifest.replace("\ndefaults:", f"\n{_STORE}\ndefaults:", 1)
    lines = ["clips/** filter=lfs diff=lfs merge=lfs -text"] if clips == "lfs" else []
    write_new(folder, texts, lines)
    if clips == "lfs" and shutil.which("git-lfs") is None:
        err("git-lfs is not installed here: without it, git commits the clips plainly (https://git-lfs.com)")
    where = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    err(f"next: {where}fishpipe build")
    return 0


def write_new(folder: Path, texts: Mapping[str, str], attributes: Sequence[str] = ()) -> None:
    """Write a new project's files, its schema, and what git is to know. Raises UsageError where one exists."""
    from fishpipe.manifest.definitions import schema_path

    ignored = (files("fishpipe") / "templates" / "gitignore").read_text(encoding="utf-8").splitlines()
    lines = {".gitignore": ignored, ".gitattributes": ["fishpipe.lock merge=union", *attributes]}
    schema = folder / _SCHEMA
    if not schema.exists():
        texts = {**texts, _SCHEMA: schema_path().read_text(encoding="utf-8")}
    there = [name for name in texts if os.path.lexists(folder / name) or (folder / name).parent.is_symlink()]
    if there:
        raise UsageError(f"{folder / there[0]} exists already; nothing was written")
    for name, text in texts.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode(), new=True)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        out(str(path))
    for name, added in lines.items():
        written = [line for line in added if add_line(folder / name, line)]
        if written:
            out(str(folder / name))
