"""fishpipe lint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from fishpipe.cli.common import Arguments, common, err, open_project, options, out, with_manifest
from fishpipe.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fishpipe.manifest.lint import Fix, Lint
    from fishpipe.project import Project

_BOM: Final = b"\xef\xbb\xbf"


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
    from fishpipe.manifest.lint import lint as look
    from fishpipe.report.problems import show_problems, warnings_text
    from fishpipe.report.prose import count

    if codes:
        width = max(map(len, CODES))
        out("\n".join(f"{code:{width}}  {words}" for code, words in CODES.items()))
        return 0
    arguments, style = with_manifest(arguments), "json" if arguments.json else style
    try:
        project = open_project(arguments, warn=False)
    except ManifestError as error:
        show = err if style == "text" else out
        show(show_problems(style, error.problems, (), error.sources))
        return error.exit_code
    found = look(project.manifest)
    if fix and (safe := _safe(project, found)):
        _mend(project, safe)
        err(f"mended {count(len(safe), 'place')}")
        found = look(open_project(arguments, warn=False).manifest)
    problems = [one.problem for one in found]
    if style != "text":
        out(show_problems(style, (), problems, {}))
    elif problems:
        mendable = sum(one.fix is not None for one in found)
        out(warnings_text(problems, project.manifest.texts))
        cure = f"; {mendable} can be mended: --fix" if mendable and not fix else ""
        out(f"{count(len(problems), 'finding')}{cure}")
    elif not arguments.quiet:
        out(f"{project.manifest.path}: nothing to say.")
    return 3 if problems else 0


lint.is_plain = True  # type: ignore[attr-defined]


def _safe(project: Project, found: Sequence[Lint]) -> list[Fix]:
    """The fixes that cost nothing: not of a line whose clip is there already."""
    with project.session() as session:
        paid = {address for address, step in session.graph.spoken.items() if step.fingerprint in session.snapshot.calls}
    return [
        one.fix for one in found if one.fix is not None and one.address not in paid and not _names(one, paid, project)
    ]


def _names(one: Lint, paid: set[str], project: Project) -> bool:
    """Whether a finding without an address stands in a line that is paid for."""
    if one.address:
        return False
    segments = (segment for script in project.manifest.scripts.values() for segment in script.segments)
    return any(
        s.address in paid and s.span.file == one.problem.span.file and s.span.line == one.problem.span.line
        for s in segments
    )


def _mend(project: Project, fixes: Sequence[Fix]) -> None:
    from fishpipe.manifest.lint import fixed
    from fishpipe.store.durable import write_whole

    for name, text in fixed(project.manifest.texts, fixes).items():
        before = Path(name).read_bytes()
        data = text.encode().replace(b"\n", b"\r\n" if b"\r\n" in before else b"\n")
        write_whole(Path(name), (_BOM if before.startswith(_BOM) else b"") + data)


command = common(lint)
