"""fishpipe init."""

from __future__ import annotations

import shlex
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from fishpipe.cli.common import err, is_terminal, out
from fishpipe.errors import UsageError
from fishpipe.store.lockfile import add_line

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
    from fishpipe.manifest.schema import schema_path

    templates = files("fishpipe") / "templates"
    texts = {
        "fishpipe.yaml": (templates / "fishpipe.yaml").read_text(encoding="utf-8"),
        ".gitignore": (templates / "gitignore").read_text(encoding="utf-8"),
        "schemas/fishpipe.schema.json": schema_path().read_text(encoding="utf-8"),
    }
    clips = clips or _asked()
    if clips != "local":
        manifest = texts["fishpipe.yaml"]
        texts["fishpipe.yaml"] = manifest.replace("\ndefaults:", f"\n{_STORE}\ndefaults:", 1)
    lines = {".gitignore": texts.pop(".gitignore").splitlines(), ".gitattributes": ["fishpipe.lock merge=union"]}
    if clips == "lfs":
        lines[".gitattributes"].append("clips/** filter=lfs diff=lfs merge=lfs -text")
    there = [name for name in texts if (folder / name).exists()]
    if there:
        raise UsageError(f"{folder / there[0]} exists already; nothing was written")
    for name, text in texts.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        out(str(path))
    for name, added in lines.items():
        written = [line for line in added if add_line(folder / name, line)]
        if written:
            out(str(folder / name))
    if clips == "lfs" and shutil.which("git-lfs") is None:
        err("git-lfs is not installed here: without it, git commits the clips plainly (https://git-lfs.com)")
    where = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    err(f"next: {where}fishpipe build")
    return 0
