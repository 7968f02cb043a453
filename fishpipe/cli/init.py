"""fishpipe init."""

from __future__ import annotations

import shlex
from importlib.resources import files
from pathlib import Path

import click

from fishpipe.cli.common import err, out
from fishpipe.errors import UsageError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
def command(folder: Path) -> int:
    r"""Make a new project in FOLDER (default: here), ready to build in the sandbox. Overwrites nothing.

    \b
      fishpipe init my-show && cd my-show && fishpipe build
    """
    from fishpipe.manifest.schema import schema_path

    templates = files("fishpipe") / "templates"
    texts = {
        "fishpipe.yaml": (templates / "fishpipe.yaml").read_text(encoding="utf-8"),
        ".gitignore": (templates / "gitignore").read_text(encoding="utf-8"),
        "schemas/fishpipe.schema.json": schema_path().read_text(encoding="utf-8"),
    }
    there = [name for name in texts if (folder / name).exists() and name != ".gitignore"]
    if there:
        raise UsageError(f"{folder / there[0]} exists already; nothing was written")
    for name, text in texts.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_text(text, encoding="utf-8")
                out(str(path))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
    where = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    err(f"next: {where}fishpipe build")
    return 0
