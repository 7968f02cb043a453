"""fishpipe lint."""

from __future__ import annotations

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
from fishpipe.errors import ManifestError


@options(
    click.option("--fix", is_flag=True, help="Mend in place what is safe to mend; lines that are paid for stay."),
    click.option("--codes", is_flag=True, help="List the codes of all findings."),
    click.option(
        "--format", "style", type=click.Choice(["text", "json", "github", "sarif"]), default="text",
        help="text, json, github (annotates a pull request) or sarif (code scanning).",
    ),
)  # fmt: skip
def lint(arguments: Arguments, fix: bool, codes: bool, style: str) -> int:
    r"""Look for what may be meant, and probably is not, before it is paid for. Exits with 3 where there is something.

    \b
      fishpipe lint
      fishpipe lint --fix
      # fishpipe: ignore[lone-word]     accepts a finding: at the end of its line, or alone above it
    """
    from fishpipe.manifest.lint import CODES

    if codes:
        width = max(map(len, CODES))
        out("\n".join(f"{code:{width}}  {words}" for code, words in CODES.items()))
        return 0
    return max(_lint(one, fix, style) for one in each_manifest(arguments))


lint.is_plain = True  # type: ignore[attr-defined]
lint.metavar = "[MANIFEST]..."  # type: ignore[attr-defined]


def _lint(arguments: Arguments, fix: bool, style: str) -> int:
    from fishpipe.manifest.lint import lint as look
    from fishpipe.report.problems import show_problems, warnings_text
    from fishpipe.report.prose import count

    style = "json" if arguments.json else style
    try:
        project = open_project(arguments, warn=False)
    except ManifestError as error:
        return tell_problems(style, error)
    found = look(project.manifest)
    if fix and any(one.fix is not None for one in found):
        from fishpipe.mending import mend

        wanted, mended = sum(one.fix is not None for one in found), mend(project)
        rest = "; the others are paid for, or would change more than signs" if mended < wanted else ""
        err(f"mended {count(mended, 'place')}{rest}")
        found = look(open_project(arguments, warn=False).manifest)
    problems = from_start(style, [one.problem for one in found])
    if style != "text":
        out(show_problems(style, (), problems, {}), commands=style == "github")
    elif problems:
        mendable = sum(one.fix is not None for one in found)
        out(warnings_text(problems, project.manifest.texts))
        cure = f"; {mendable} can be mended: --fix" if mendable and not fix else ""
        out(f"{count(len(problems), 'finding')}{cure}")
    elif not arguments.quiet:
        out(f"{project.manifest.path}: nothing to say.")
    return 3 if problems else 0


command = common(lint)
