"""fishpipe graph."""

from __future__ import annotations

import click

from fishpipe.cli.common import Arguments, common, open_project, options, out


@options(
    click.option("--format", "style", type=click.Choice(["dot", "mermaid"]), default="dot", help="dot or mermaid.")
)
def graph(arguments: Arguments, style: str) -> int:
    r"""Draw the steps: voices, the clips that need them, the outputs.

    \b
      fishpipe graph | dot -Tsvg > graph.svg
      fishpipe graph --format mermaid
    """
    from fishpipe.report.graphs import dot, mermaid

    found = open_project(arguments).graph(arguments.targets)
    out(dot(found) if style == "dot" else mermaid(found))
    return 0


command = common(graph)
