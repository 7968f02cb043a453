"""fishpipe schema."""

from __future__ import annotations

import click

from fishpipe.cli.common import out


@click.command()
@click.option("--path", is_flag=True, help="Print where the file is instead.")
def command(path: bool) -> int:
    r"""Print the manifest's JSON Schema, for editors and other tools.

    \b
      fishpipe schema > fishpipe.schema.json
    """
    from fishpipe.manifest.schema import schema_path

    out(str(schema_path()) if path else schema_path().read_text(encoding="utf-8").rstrip())
    return 0
